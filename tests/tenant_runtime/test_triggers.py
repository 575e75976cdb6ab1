"""Triggers: signed messages start runs, each once; everything else starts nothing. Runs that start runs."""

import base64
import json
import secrets
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from standardwebhooks import Webhook

from tenant_runtime.agents.loading import manifest_examine
from tenant_runtime.errors import AgentFault, Invalid
from tenant_runtime.triggers.descent import DEEPEST, descend
from tenant_runtime.triggers.signing import secret_problem
from tenant_runtime.triggers.template import template_fill, template_problems
from tests.tenant_runtime.support import ADMIN_KEY, RuntimeProcess, runtime_environment, runtime_started

FOLDER = Path(__file__).parent / "triggers"
SECRET, OLD = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2))
ORDER = {"order": {"id": "A-7", "customer": "Ida", "lines": [{"sku": "x", "count": 2}]}}


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[RuntimeProcess]:
    environment = runtime_environment(database, ORDERS_SECRET=f"{SECRET} {OLD}")
    with runtime_started(
        tmp_path_factory.mktemp("triggers"), environment, manifest=FOLDER / "agents.toml"
    ) as running:
        yield running


def signed(
    body: bytes, *, message_id: str, secret: str = SECRET, at: datetime | None = None
) -> dict[str, str]:
    moment = at or datetime.now(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, moment, body.decode()),
        "content-type": "application/json",
    }


def fire(
    runtime: RuntimeProcess, trigger: str, message: Any, message_id: str | None = None
) -> httpx.Response:
    body = json.dumps(message).encode()
    headers = signed(body, message_id=message_id or f"msg_{uuid.uuid4().hex}")
    with runtime.http(None) as http:
        return http.post(f"/triggers/{trigger}", content=body, headers=headers)


def runs(database: str) -> int:
    with psycopg.connect(database) as conn:
        row = conn.execute("SELECT count(*) FROM runs").fetchone()
    assert row is not None
    return int(row[0])


# --- messages ---------------------------------------------------------------------------------------------
async def test_a_signed_message_starts_a_run_of_the_triggers_own(serving: RuntimeProcess) -> None:
    answer = fire(serving, "orders", ORDER, "msg_first")
    assert answer.status_code == 202
    told = answer.json()
    assert (told["trigger"], told["webhook_id"]) == ("orders", "msg_first")
    assert answer.headers["content-location"] == f"/threads/{told['thread_id']}/runs/{told['run_id']}"
    client = serving.sdk()
    values = await client.runs.join(told["thread_id"], told["run_id"])
    assert isinstance(values, dict)
    assert values["output"] == {"noted": {"text": "A-7 for Ida", "lines": [{"sku": "x", "count": 2}]}}
    run = await client.runs.get(told["thread_id"], told["run_id"])
    assert (run["metadata"] or {})["trigger"] == "orders"
    with serving.http(ADMIN_KEY) as admin:
        key = admin.post("/admin/keys", json={"name": "somebody"}).json()["api_key"]
    with serving.http(key) as somebody:
        assert somebody.get(f"/threads/{told['thread_id']}").status_code == 404


def test_a_message_that_comes_again_gets_its_first_answer(serving: RuntimeProcess, database: str) -> None:
    before = runs(database)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: fire(serving, "orders", ORDER, "msg_again"), range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.text for answer in answers}) == 1
    assert runs(database) == before + 1


def test_a_message_whose_starter_died_finds_its_run(serving: RuntimeProcess, database: str) -> None:
    first = fire(serving, "orders", ORDER, "msg_died").json()
    before = runs(database)
    with psycopg.connect(database) as conn:
        # As if the process had gone between the run and its note.
        conn.execute("UPDATE run_starts SET run_id = NULL, thread_id = NULL WHERE key = 'msg_died'")
    assert fire(serving, "orders", ORDER, "msg_died").json() == first
    assert runs(database) == before


def test_the_old_secret_counts_while_it_changes(serving: RuntimeProcess) -> None:
    body = json.dumps(ORDER).encode()
    with serving.http(None) as http:
        headers = signed(body, message_id="msg_old_secret", secret=OLD)
        assert http.post("/triggers/orders", content=body, headers=headers).status_code == 202


def test_what_is_not_vouched_for_starts_nothing(serving: RuntimeProcess, database: str) -> None:
    before = runs(database)
    body = json.dumps(ORDER).encode()
    good = signed(body, message_id="msg_bad")
    foreign = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    late, early = datetime.now(UTC) - timedelta(minutes=6), datetime.now(UTC) + timedelta(minutes=6)
    cases: list[tuple[str, bytes, dict[str, str], int, str]] = [
        ("orders", body + b" ", good, 401, "signature_invalid"),
        ("orders", body, good | {"webhook-id": "msg_other"}, 401, "signature_invalid"),
        ("orders", body, signed(body, message_id="m", secret=foreign), 401, "signature_invalid"),
        ("orders", body, signed(body, message_id="m", at=late), 401, "signature_invalid"),
        ("orders", body, signed(body, message_id="m", at=early), 401, "signature_invalid"),
        ("orders", body, {"content-type": "application/json"}, 401, "signature_invalid"),
        ("orders", body, good | {"webhook-signature": "v1"}, 401, "signature_invalid"),
        ("orders", body, good | {"webhook-signature": "v1,!!! v1,"}, 401, "signature_invalid"),
        ("orders", b"\xff\xfe", good, 401, "signature_invalid"),
        ("nobody", body, good, 401, "signature_invalid"),
        ("switched_off", body, good, 401, "signature_invalid"),
        ("orders", b"x" * (1024 * 1024 + 1), good, 413, "too_large"),
        ("orders", b"{no", signed(b"{no", message_id="m"), 422, "bad_json"),
        ("orders", b"{}", signed(b"{}", message_id="m"), 422, "trigger_misfit"),
        (
            "chat",
            b'{"conversation": {}}',
            signed(b'{"conversation": {}}', message_id="m"),
            422,
            "trigger_misfit",
        ),
        ("orders", b'"\\u0000"', signed(b'"\\u0000"', message_id="m"), 422, "invalid"),
    ]
    with serving.http(None) as http:
        for trigger, content, headers, status, code in cases:
            answer = http.post(f"/triggers/{trigger}", content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code), (
                trigger,
                content[:20],
                headers,
            )
        assert http.get("/triggers/orders").status_code == 401
    assert runs(database) == before
    assert SECRET not in serving.log.read_text()


def test_messages_of_one_key_share_a_thread(serving: RuntimeProcess, database: str) -> None:
    answers = [fire(serving, "chat", {"conversation": key}).json() for key in ("ida", "ida", "ben", 7)]
    threads = [answer["thread_id"] for answer in answers]
    assert threads[0] == threads[1]
    assert len(set(threads)) == 3
    with psycopg.connect(database) as conn:
        rows = conn.execute("SELECT * FROM trigger_threads").fetchall()
    assert "ida" not in str(rows)


# --- runs that start runs ---------------------------------------------------------------------------------
async def test_an_agent_starts_others_once_for_each_step(serving: RuntimeProcess) -> None:
    client = serving.sdk()
    thread = await client.threads.create()
    values = await client.runs.wait(thread["thread_id"], "chain", input={"input": {}})
    assert isinstance(values, dict)
    first, second = values["output"]["started"]
    assert first != second
    (run,) = await client.runs.list(thread["thread_id"])
    with serving.http() as http:
        found = http.post("/threads/search", json={"metadata": {"graph_id": "note"}, "limit": 100}).json()
        children = {
            run["run_id"]: run
            for each in found
            for run in http.get(f"/threads/{each['thread_id']}/runs").json()
        }
    assert children[first]["metadata"]["started_by"] == {"run_id": run["run_id"], "agents": ["chain"]}


async def test_an_agent_may_not_start_what_led_to_it(serving: RuntimeProcess) -> None:
    client = serving.sdk()
    thread = await client.threads.create()
    (assistant,) = await client.assistants.search(graph_id="loop")
    values = await client.runs.wait(
        thread["thread_id"], "loop", input={"input": {"self": assistant["assistant_id"]}}
    )
    assert isinstance(values, dict)
    with serving.http() as http:
        found = http.post("/threads/search", json={"metadata": {"graph_id": "chain"}, "limit": 100}).json()
        rows = [run for each in found for run in http.get(f"/threads/{each['thread_id']}/runs").json()]
        (child,) = [run for run in rows if run["run_id"] == values["output"]["started"]]
        http.get(f"/threads/{child['thread_id']}/runs/{child['run_id']}/join")
        ended = http.get(f"/threads/{child['thread_id']}/runs/{child['run_id']}").json()
    assert ended["error"]["code"] == "start_cycle"
    assert "loop > chain > loop" in ended["error"]["detail"]


async def test_a_start_on_a_foreign_thread_is_refused(serving: RuntimeProcess) -> None:
    with serving.http(ADMIN_KEY) as admin:
        key = admin.post("/admin/keys", json={"name": "other"}).json()["api_key"]
    mine = await serving.sdk().threads.create()
    stranger = serving.sdk(key)
    thread = await stranger.threads.create()
    run = await stranger.runs.create(
        thread["thread_id"], "chain", input={"input": {"thread": mine["thread_id"]}}
    )
    await stranger.runs.join(thread["thread_id"], run["run_id"])
    ended: Any = await stranger.runs.get(thread["thread_id"], run["run_id"])
    assert ended["error"]["code"] == "start_thread_not_found"
    assert await serving.sdk().runs.list(mine["thread_id"]) == []


# --- the pure parts ---------------------------------------------------------------------------------------
def test_descent_is_bounded() -> None:
    row: dict[str, Any] = {"run_id": "r", "agent": "a0", "metadata": {}}
    for depth in range(1, DEEPEST):
        row = {"run_id": "r", "agent": f"a{depth}", "metadata": descend(row, f"a{depth}")}
    with pytest.raises(AgentFault, match="at most") as deep:
        descend(row, "next")
    assert deep.value.code == "start_too_deep"


def test_templates_point_into_the_message() -> None:
    message = {"a/b": {"~": [10, {"c": None}]}, "text": "{{/text}}"}
    assert template_fill("{{/a~1b/~0/1/c}}", message) is None
    assert template_fill({"x": ["{{/a~1b/~0/0}}!"]}, message) == {"x": ["10!"]}
    # What comes from the message is data, never a template again.
    assert template_fill("{{/text}} {{/text}}", message) == "{{/text}} {{/text}}"
    assert template_fill("{{}}", [1]) == [1]
    for pointer in ("/missing", "/a~1b/~0/2", "/a~1b/~0/-1", "/text/0", "/a~1b/~0/01"):
        with pytest.raises(Invalid):
            template_fill(f"{{{{{pointer}}}}}", message)
    assert template_problems({"x": ["{{name}}", "{{/good}}"]}) == ["{{name}}"]


def test_secrets_have_the_schemes_size() -> None:
    assert secret_problem(SECRET) is None
    assert "wanted 24 to 64" in str(secret_problem("whsec_c2hvcnQ="))
    assert secret_problem("whsec_ä") == "is not base64"


def test_triggers_that_do_not_fit_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_SECRET", "c2hvcnQ=")
    (tmp_path / "a.py").write_text("async def run(payload):\n    return payload\n")
    (tmp_path / "agents.toml").write_text(
        """
[[agents]]
name = "a"
adapter = "callable"
target = "./a.py:run"
[[triggers]]
name = "one"
agent = "nobody"
secret = "UNSET_SECRET"
[[triggers]]
name = "two"
agent = "a"
secret = "SHORT_SECRET"
input = { text = "{{name}}" }
owner = "admin"
"""
    )
    report, _ = manifest_examine(tmp_path / "agents.toml")
    assert sorted((problem.place, problem.code) for problem in report.problems) == [
        ("trigger 'one'", "secret_missing"),
        ("trigger 'one'", "trigger_misfit"),
        ("trigger 'two'", "secret_missing"),
        ("trigger 'two'", "trigger_misfit"),
        ("trigger 'two'", "trigger_misfit"),
    ]
    assert "c2hvcnQ" not in report.text()
