"""Owner, teammate and stranger on every route: what is not yours is not there, and asking changes nothing."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest

from tests.tenant_runtime.access.routes import BODIES, LISTS, NAMING, Place, filled, owned, routes
from tests.tenant_runtime.access.signing import token_sign
from tests.tenant_runtime.support import ADMIN_KEY, API_KEY, RuntimeProcess, wait_until

OWNED_ROUTES = [place for place in routes() if owned(place[1])]


@dataclass(frozen=True)
class People:
    """`owner` and `owners_other_key` are the same user; `ids` are what the owner has."""

    owner: httpx.Client
    owners_other_key: httpx.Client
    teammate: httpx.Client
    stranger: httpx.Client
    operator: httpx.Client
    auditor: httpx.Client
    ids: dict[str, str]
    snapshot: Callable[[], list[Any]]


def key_make(runtime: RuntimeProcess, **wanted: Any) -> str:
    with runtime.http(ADMIN_KEY) as admin:
        made = admin.post("/admin/keys", json=wanted)
    assert made.status_code == 201, made.text
    return str(made.json()["api_key"])


@pytest.fixture(scope="module")
def people(runtime: RuntimeProcess, runtime_database: str) -> Iterator[People]:
    name = f"ada-{uuid.uuid4().hex[:8]}"
    owner = runtime.http(key_make(runtime, role="user", user=name))
    thread = owner.post("/threads", json={"metadata": {"of": name}}).raise_for_status().json()["thread_id"]
    done = {"assistant_id": "slow", "input": {"steps": 2}, "metadata": {"of": name}}
    owner.post(f"/threads/{thread}/runs/wait", json=done).raise_for_status()
    state = owner.get(f"/threads/{thread}/state").raise_for_status().json()
    # It goes on during the whole test: canceling it, joining it and deleting it are tried on it.
    going = {"assistant_id": "slow", "input": {"steps": 2, "delay": 100}}
    run = owner.post(f"/threads/{thread}/runs", json=going).raise_for_status().json()["run_id"]
    wait_until(
        lambda: owner.get(f"/threads/{thread}/runs/{run}").json()["status"] == "running",
        30,
        "the run to begin",
    )

    hourly = {**done, "schedule": "0 * * * *", "enabled": False}
    cron = owner.post("/runs/crons", json=hourly).raise_for_status().json()["cron_id"]
    note = {"namespace": [name, thread], "key": "note", "value": {"of": name}}
    owner.put("/store/items", json=note).raise_for_status()

    def snapshot() -> list[Any]:
        """All of the owner's rows, without what the running run's worker writes by the clock."""
        with psycopg.connect(runtime_database) as conn:
            asked = {"t": thread, "n": name}
            return [
                conn.execute(statement, asked).fetchall()
                for statement in (
                    'SELECT thread_id, owner, status, metadata, "values", interrupts FROM threads '
                    "WHERE owner = %(n)s ORDER BY 1",
                    "SELECT run_id, status, cancel_action, metadata, kwargs, principal FROM runs "
                    "WHERE thread_id = %(t)s::uuid ORDER BY 1",
                    "SELECT checkpoint_id, metadata->>'source' FROM checkpoints WHERE thread_id = %(t)s ORDER BY 1",
                    "SELECT cron_id, schedule, enabled, payload FROM crons WHERE owner = %(n)s ORDER BY 1",
                    "SELECT owner, namespace, key, value FROM store_items WHERE owner = %(n)s ORDER BY 1, 2, 3",
                    "SELECT count(*) FROM run_events JOIN runs USING (run_id) WHERE thread_id = %(t)s::uuid",
                )
            ]

    clients = {
        "owner": owner,
        "owners_other_key": runtime.http(key_make(runtime, role="user", user=name)),
        "teammate": runtime.http(key_make(runtime)),
        "stranger": runtime.http(None),
        "operator": runtime.http(API_KEY),
        "auditor": runtime.http(key_make(runtime, role="auditor")),
    }
    for client in clients.values():
        client.headers["A2A-Version"] = "1.0"
    yield People(
        **clients,
        ids={
            "owner": name,
            "thread_id": thread,
            "run_id": run,
            "id": run,
            "push_id": "1",
            "agent": "slow",
            "cron_id": cron,
            "response_id": f"resp_{run.replace('-', '')}",
            "checkpoint_id": state["checkpoint"]["checkpoint_id"],
        },
        snapshot=snapshot,
    )
    owner.post(f"/threads/{thread}/runs/{run}/cancel", params={"wait": "true"})
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(("method", "path"), OWNED_ROUTES)
def test_another_ones_row_is_not_there(people: People, method: str, path: str) -> None:
    before = people.snapshot()
    body = filled(BODIES.get((method, path), {}), people.ids)
    json = {} if method in ("GET", "DELETE") else {"json": body}
    url = filled(path, people.ids)
    assert "{" not in url, "the owner needs something of this kind: make it in the fixture `people`"
    assert people.teammate.request(method, url, **json).status_code == 404, "teammate"
    assert people.auditor.request(method, url, **json).status_code == 403, "auditor"
    assert people.stranger.request(method, url, **json).status_code == 401, "stranger"
    assert people.snapshot() == before


@pytest.mark.parametrize(
    ("place", "body"), [(place, body) for place, bodies in NAMING.items() for body in bodies]
)
def test_a_body_leads_to_nobody_elses_row(people: People, place: Place, body: Any) -> None:
    before = people.snapshot()
    for person, status in ((people.teammate, 404), (people.stranger, 401)):
        given = filled(body, people.ids)
        query = given.pop("?", None) if isinstance(given, dict) else None
        answer = person.request(*filled(list(place), people.ids), json=given, params=query)
        assert answer.status_code == status, answer.text
    assert people.snapshot() == before


@pytest.mark.parametrize("place", LISTS)
def test_a_list_holds_ones_own(people: People, place: Place) -> None:
    body = filled(LISTS[place], people.ids)
    for person in (people.owner, people.owners_other_key, people.operator):
        mine = person.request(*place, json=body)
        assert mine.status_code == 200
        assert people.ids["thread_id"] in mine.text or people.ids["owner"] in mine.text or mine.json() == 1
    theirs = people.teammate.request(*place, json=body)
    assert theirs.status_code == 200
    assert people.ids["thread_id"] not in theirs.text
    assert theirs.json() in ([], 0, {"items": []}, {"namespaces": []})
    assert people.stranger.request(*place, json=body).status_code == 401


def test_a_checkpoint_of_another_thread_is_not_there(people: People) -> None:
    """On a thread of one's own, too: neither to read, nor to write on, nor to run from."""
    mine = people.teammate.post("/threads", json={}).json()["thread_id"]
    people.teammate.post(f"/threads/{mine}/runs/wait", json={"assistant_id": "slow", "input": {"steps": 1}})
    foreign, before = people.ids["checkpoint_id"], people.snapshot()
    run = {"assistant_id": "slow", "input": {"steps": 1}}
    tried = [
        ("GET", f"/threads/{mine}/state/{foreign}", None),
        ("POST", f"/threads/{mine}/state/checkpoint", {"checkpoint": {"checkpoint_id": foreign}}),
        ("POST", f"/threads/{mine}/state", {"values": {"count": 9}, "checkpoint_id": foreign}),
        ("POST", f"/threads/{mine}/runs", {**run, "checkpoint_id": foreign}),
        ("POST", f"/threads/{mine}/runs", {**run, "checkpoint": {"checkpoint_id": foreign}}),
        ("POST", f"/threads/{mine}/history", {"before": {"configurable": {"thread_id": people.ids["thread_id"]}}}),
    ]  # fmt: skip
    for method, path, body in tried:
        answer = people.teammate.request(method, path, json=body)
        assert answer.status_code == 404, (path, body, answer.text)
    assert people.snapshot() == before


def test_a_session_is_its_owners(people: People) -> None:
    before = people.snapshot()
    headers = {"X-Amzn-Bedrock-AgentCore-Runtime-Session-Id": people.ids["thread_id"]}
    answer = people.teammate.post("/invocations", json={"steps": 1}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (404, "thread_not_found")
    assert people.stranger.post("/invocations", json={}, headers=headers).status_code == 401
    assert people.snapshot() == before


def test_the_owner_and_the_operator_reach_it(people: People) -> None:
    path = f"/threads/{people.ids['thread_id']}/runs/{people.ids['run_id']}"
    for person in (people.owner, people.owners_other_key, people.operator):
        assert person.get(path).json()["status"] == "running"


def test_a_key_ends_by_itself(runtime: RuntimeProcess, runtime_database: str) -> None:
    with runtime.http(ADMIN_KEY) as admin:
        past = admin.post("/admin/keys", json={"expires_at": "2020-01-01T00:00:00Z"})
        assert past.status_code == 422
        for wrong in (
            {"role": "root"},
            {"user": "admin"},
            {"user": "key:1"},
            {"expires_at": "2999-01-01T00:00:00"},
        ):
            assert admin.post("/admin/keys", json=wrong).status_code == 422, wrong
        made = admin.post(
            "/admin/keys", json={"expires_at": "2999-01-01T00:00:00Z", "role": "developer"}
        ).json()
        assert (made["role"], made["expires_at"]) == ("developer", "2999-01-01T00:00:00+00:00")
    with runtime.http(made["api_key"]) as client:
        assert client.post("/threads/count", json={}).status_code == 200
        with psycopg.connect(runtime_database) as conn:
            conn.execute("UPDATE api_keys SET expires_at = now() WHERE id = %s", [made["id"]])
        assert client.post("/threads/count", json={}).status_code == 401


def test_the_audit_is_for_auditors(people: People, runtime: RuntimeProcess) -> None:
    page = people.auditor.get("/admin/audit", params={"limit": 2}).raise_for_status().json()
    assert [row["action"] for row in page["results"]] == ["key.create"] * 2
    assert page["results"][0]["detail"]["role"]
    older = people.auditor.get("/admin/audit", params={"limit": 2, "before": page["next"]}).json()
    assert older["results"][0]["seq"] < page["results"][-1]["seq"]
    for person, status in ((people.owner, 403), (people.operator, 403), (people.stranger, 401)):
        assert person.get("/admin/audit").status_code == status
    assert people.auditor.get("/admin/keys").status_code == 403


def test_a_token_is_its_user_and_its_role(people: People, runtime: RuntimeProcess) -> None:
    path = f"/threads/{people.ids['thread_id']}"
    with runtime.http(None) as http:

        def status(token: str, method: str = "GET", asked: str = path) -> int:
            by_bearer = http.request(method, asked, headers={"Authorization": f"Bearer {token}"}).status_code
            assert http.request(method, asked, headers={"x-api-key": token}).status_code == by_bearer
            return by_bearer

        assert status(token_sign(people.ids["owner"])) == 200, "the same user as the key's"
        assert status(token_sign("bob@example.com")) == 404
        assert status(token_sign("bob@example.com", "developer")) == 404
        assert status(token_sign("bob@example.com", "operator")) == 200
        assert status(token_sign("bob@example.com", "auditor")) == 403
        assert status(token_sign("bob@example.com", "auditor"), asked="/admin/audit") == 200
        assert status(token_sign("bob@example.com", "operator"), asked="/admin/keys") == 403
        assert status(token_sign("bob@example.com", "admin"), asked="/admin/keys") == 200
        for refused in (
            token_sign(people.ids["owner"], aud="globex"),
            token_sign(people.ids["owner"], lives_s=-60),
            token_sign(people.ids["owner"], lives_s=3600),
            token_sign(people.ids["owner"], "root"),
            token_sign("admin"),
            token_sign(people.ids["owner"])[:-4] + "AAAA",
        ):
            assert status(refused) == 401
    assert "token refused" in runtime.log.read_text()
    assert "eyJ" not in runtime.log.read_text()
