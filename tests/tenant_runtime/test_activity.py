"""The course of runs, for those who watch over everybody's: in order, timed and counted, and without what was said."""

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.tenant_runtime.access.test_three_people import key_make
from tests.tenant_runtime.support import RuntimeProcess

SECRET_QUESTION = "How long are nightly backups kept, zanzibar?"


@pytest.fixture
def auditor(runtime: RuntimeProcess) -> httpx.Client:
    return runtime.http(key_make(runtime, role="auditor"))


@pytest.fixture
def asked(runtime: RuntimeProcess) -> dict[str, str]:
    """A run of a user's that called the model, embedded, and used a tool."""
    name = f"ada-{uuid.uuid4().hex[:8]}"
    with runtime.http(key_make(runtime, role="user", user=name)) as ada:
        thread = ada.post("/threads", json={}).json()["thread_id"]
        question = {"messages": [{"role": "user", "content": SECRET_QUESTION}]}
        ada.post(
            f"/threads/{thread}/runs/wait", json={"assistant_id": "document_analyst", "input": question}
        ).raise_for_status()
        run = ada.get(f"/threads/{thread}/runs").json()[0]["run_id"]
    return {"user": name, "thread": thread, "run": run}


def test_a_course_has_each_call_in_order_and_none_of_the_words(
    auditor: httpx.Client, asked: dict[str, str], runtime_database: str
) -> None:
    answer = auditor.get(f"/admin/runs/{asked['run']}").raise_for_status()
    course = answer.json()

    assert (course["agent"], course["user"], course["status"]) == (
        "document_analyst",
        asked["user"],
        "success",
    )
    kinds = [(call["place"].partition(":")[2], call["kind"]) for call in course["calls"]]
    assert kinds[:2] == [("make_plan", "chat"), ("retrieve", "embed")]
    assert kinds[-1] == ("compose_answer", "chat")
    assert ("act", "tool") in kinds
    assert {call["state"] for call in course["calls"]} == {"done"}
    begun = [call["begun_at"] for call in course["calls"]]
    assert begun == sorted(begun)
    assert course["created_at"] <= course["started_at"] <= begun[0]
    # One, unless a busy machine let its lease run out: then it says so.
    numbers = [row["attempt"] for row in course["attempts"]]
    assert numbers == list(range(1, len(numbers) + 1)) != []
    for word in ("zanzibar", "backup", "35 days"):
        assert word not in answer.text
    with psycopg.connect(runtime_database) as conn:
        assert conn.execute(
            "SELECT count(*) FROM run_steps WHERE run_id = %s", [asked["run"]]
        ).fetchone() == (0,), "the ledger has forgotten them, so the course is what is left"


def test_the_tokens_of_a_course_are_those_that_are_billed(
    auditor: httpx.Client, asked: dict[str, str], sink: Callable[..., object]
) -> None:
    course = auditor.get(f"/admin/runs/{asked['run']}").json()
    listed = auditor.get("/admin/runs", params={"agent": "document_analyst"}).json()["results"]

    in_list = next(row for row in listed if row["run_id"] == asked["run"])
    parts = [call["usage"] for call in course["calls"] if call["kind"] != "tool"]
    assert (
        course["input_tokens"]
        == in_list["input_tokens"]
        == sum(part["input"] + part["cached_input"] + part["cache_write"] for part in parts)
    )
    assert course["output_tokens"] == sum(part["output"] + part["reasoning"] for part in parts)
    assert course["input_tokens"] > 0
    assert course["model_calls"] == len(parts)


def test_runs_are_listed_newest_first_by_status_and_agent_in_pages(
    runtime: RuntimeProcess, auditor: httpx.Client
) -> None:
    with runtime.http(key_make(runtime, role="user")) as user:
        for agent in ("slow", "failing", "failing", "asking"):
            user.post("/runs/wait", json={"assistant_id": agent, "input": {"steps": 1}})

    newest = auditor.get("/admin/runs", params={"limit": 4}).json()["results"]
    assert [row["agent"] for row in newest] == ["asking", "failing", "failing", "slow"]
    assert newest[0]["waits_for_answer"]
    assert not newest[3]["waits_for_answer"]
    failed = auditor.get("/admin/runs", params={"status": "error", "agent": "failing", "limit": 1}).json()
    assert [row["run_id"] for row in failed["results"]] == [newest[1]["run_id"]]
    assert failed["results"][0]["error_code"] == "ValueError"
    assert "the reason" not in str(failed), "an agent's own words may quote its user"
    older = auditor.get(
        "/admin/runs", params={"status": "error", "agent": "failing", "limit": 1, "before": failed["next"]}
    ).json()
    assert [row["run_id"] for row in older["results"]] == [newest[2]["run_id"]]
    assert auditor.get("/admin/runs", params={"status": "gone"}).status_code == 422
    assert auditor.get(f"/admin/runs/{uuid.uuid4()}").status_code == 404


def test_each_attempt_is_told_with_its_moment(
    runtime: RuntimeProcess, auditor: httpx.Client, tmp_path: Path
) -> None:
    """A run that slept begins another attempt when it wakes, as one does that a worker takes over."""
    with runtime.http() as operator:
        given = {"journal": str(tmp_path / "journal"), "steps": 1, "seconds": 0.7}
        operator.post("/runs/wait", json={"assistant_id": "napping", "input": given}).raise_for_status()
    run = auditor.get("/admin/runs", params={"agent": "napping", "limit": 1}).json()["results"][0]
    course = auditor.get(f"/admin/runs/{run['run_id']}").json()

    assert [row["attempt"] for row in course["attempts"]] == [1, 2]
    first, second = (datetime.fromisoformat(row["begun_at"]) for row in course["attempts"])
    assert (second - first).total_seconds() >= 0.6
    assert course["executed_s"] < 0.7, "asleep is not executed"
    assert run["attempt"] == 2


def test_users_and_developers_do_not_watch_others(runtime: RuntimeProcess, asked: dict[str, str]) -> None:
    for role in ("user", "developer"):
        with runtime.http(key_make(runtime, role=role)) as caller:
            for path in ("/admin/runs", f"/admin/runs/{asked['run']}"):
                assert caller.get(path).status_code == 403
    with runtime.http(None) as nobody:
        assert nobody.get("/admin/runs").status_code == 401


def test_a_course_goes_with_its_thread(
    runtime: RuntimeProcess, auditor: httpx.Client, asked: dict[str, str], runtime_database: str
) -> None:
    with runtime.http() as operator:
        assert operator.delete(f"/threads/{asked['thread']}").status_code == 204
    assert auditor.get(f"/admin/runs/{asked['run']}").status_code == 404
    with psycopg.connect(runtime_database) as conn:
        assert conn.execute("SELECT 1 FROM run_calls WHERE run_id = %s", [asked["run"]]).fetchone() is None
