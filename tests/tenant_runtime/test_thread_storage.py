"""How much a long thread takes, what prune leaves of it, and that removed threads leave nothing."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.tenant_runtime.support import (
    ADMIN_KEY,
    RuntimeProcess,
    runtime_environment,
    runtime_started,
    wait_until,
)

AGENTS = Path(__file__).parent / "agents" / "long.toml"
STEPS, TURNS = 200, 20
TABLES = ("threads", "runs", "run_steps", "checkpoints", "checkpoint_blobs", "checkpoint_writes")


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[RuntimeProcess]:
    environment = runtime_environment(database, RUNTIME_RUN_LOG_S="0", RUNTIME_LOG_LEVEL="warning")
    with runtime_started(tmp_path_factory.mktemp("long"), environment, manifest=AGENTS) as running:
        yield running


def rows(database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as conn:
        return conn.execute(statement, values).fetchall()


def held_of(database: str, thread_id: str) -> dict[str, int]:
    found = {
        table: rows(database, f"SELECT count(*) FROM {table} WHERE thread_id::text = %s", thread_id)[0][0]
        for table in TABLES
    }
    events = (
        "SELECT count(*) FROM run_events e WHERE NOT EXISTS (SELECT 1 FROM runs r WHERE r.run_id = e.run_id)"
    )
    return found | {"orphan events": rows(database, events)[0][0]}


def contents(values: Any) -> list[str]:
    return [message["content"] for message in values["messages"]]


async def test_two_hundred_steps_of_a_long_thread_stay_below_two_megabytes(
    runtime: RuntimeProcess, database: str
) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    for turn in range(TURNS):
        until = (turn + 1) * STEPS // TURNS
        values = await client.runs.wait(thread_id, "talker", input={"until": until})
    assert isinstance(values, dict)
    assert len(values["messages"]) == STEPS
    assert sum(map(len, contents(values))) == STEPS * 1950
    with runtime.http() as http:
        # The logs of runs that are over go first, and with them the copies of the values.
        wait_until(
            lambda: not rows(database, "SELECT 1 FROM run_events LIMIT 1"), 20, "the logs to be removed"
        )
        size = http.get(f"/threads/{thread_id}/storage").json()
    assert size["bytes"] < 2 * 2**20, size
    state = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "run_steps")
    total = sum(rows(database, "SELECT pg_total_relation_size(%s)", name)[0][0] for name in state)
    print(f"\nlive rows {size['bytes']} bytes, relations with indexes {total} bytes")
    assert total < 2 * 2**20
    # Every step can still be gone back to.
    history = await client.threads.get_history(thread_id, limit=1000)
    assert len(history) == STEPS + 2 * TURNS
    middle = next(state for state in history if len(state["values"].get("messages", [])) == 77)
    again = await client.threads.get_state(thread_id, checkpoint=middle["checkpoint"])
    assert contents(again["values"]) == contents(values)[:77]

    await pruned(runtime, database, thread_id, values)


async def pruned(runtime: RuntimeProcess, database: str, thread_id: str, values: dict[str, Any]) -> None:
    """Time to live with keep_latest: the newest state stays, and one can go on."""
    client = runtime.sdk()
    rows_before = held_of(database, thread_id)
    with psycopg.connect(database, autocommit=True) as conn:
        conn.execute(
            "UPDATE threads SET ttl_minutes = 0.001, ttl_strategy = 'keep_latest' WHERE thread_id = %s",
            [thread_id],
        )
    wait_until(
        lambda: held_of(database, thread_id)["checkpoints"] == 1 < rows_before["checkpoints"], 20, "the prune"
    )
    state = await client.threads.get_state(thread_id)
    assert contents(state["values"]) == contents(values)
    assert await client.threads.get_history(thread_id, limit=1000)
    more = await client.runs.wait(thread_id, "talker", input={"until": STEPS + 1})
    assert isinstance(more, dict)
    assert contents(more)[:STEPS] == contents(values)
    assert len(more["messages"]) == STEPS + 1
    unreferenced = (
        "SELECT count(*) FROM checkpoint_blobs b WHERE thread_id = %s AND NOT EXISTS (SELECT 1 FROM checkpoints c "
        "WHERE c.thread_id = b.thread_id AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)"
    )
    assert rows(database, unreferenced, thread_id) == [(0,)]
    await client.threads.delete(thread_id)
    assert not any(held_of(database, thread_id).values())


async def test_a_thread_with_a_time_to_live_goes_by_itself(runtime: RuntimeProcess, database: str) -> None:
    client = runtime.sdk()
    brief = (await client.threads.create(ttl={"ttl": 0.002, "strategy": "delete"}))["thread_id"]
    kept = (await client.threads.create(ttl=60))["thread_id"]
    for thread_id in (brief, kept):
        await client.runs.wait(thread_id, "talker", input={"until": 2})
    wait_until(lambda: not any(held_of(database, brief).values()), 20, "the thread to go")
    assert (await client.threads.get(kept))["thread_id"] == kept


async def test_a_canceled_run_that_is_rolled_back_leaves_nothing(
    runtime: RuntimeProcess, database: str
) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    first = await client.runs.wait(thread_id, "talker", input={"messages": "one", "until": 2})
    long = await client.runs.create(thread_id, "talker", input={"messages": "two", "until": 10_000})
    wait_until(
        lambda: rows(
            database, "SELECT 1 FROM checkpoints WHERE metadata ->> 'run_id' = %s LIMIT 1", long["run_id"]
        ),
        20,
        "its first checkpoint",
    )
    await client.runs.cancel(thread_id, long["run_id"], wait=True, action="rollback")
    state = await client.threads.get_state(thread_id)
    assert isinstance(first, dict)
    assert contents(state["values"]) == contents(first)
    last = await client.runs.wait(thread_id, "talker", input={"messages": "three", "until": 3})
    assert isinstance(last, dict)
    assert contents(last) == [*contents(first), "three", contents(last)[-1]]
    again = await client.threads.get_state(thread_id)
    assert contents(again["values"]) == contents(last)


async def test_a_thread_is_given_out_erased_and_taken_in_again(
    runtime: RuntimeProcess, database: str
) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create(metadata={"about": "export"}))["thread_id"]
    asked = await client.runs.wait(thread_id, "asking", input={"messages": "hello"})
    assert isinstance(asked, dict)
    with runtime.http(ADMIN_KEY) as admin:
        (document,) = admin.post("/admin/export", json={"thread_id": thread_id}).json()["threads"]
        taken = admin.post("/admin/import", json={"threads": [document]})
        assert (taken.status_code, taken.json()["code"]) == (409, "thread_exists")
        assert admin.post("/admin/erase", json={"thread_id": thread_id}).json() == {"erased": {"threads": 1}}
        assert not any(held_of(database, thread_id).values())
        for change in ("owner", "metadata"):
            forged = copy.deepcopy(document)
            forged["thread"][change] = "somebody" if change == "owner" else {"more": 1}
            refused = admin.post("/admin/import", json={"threads": [forged]})
            assert (refused.status_code, refused.json()["code"]) == (422, "export_not_ours")
        assert not any(held_of(database, thread_id).values())
        assert admin.post("/admin/import", json={"threads": [document]}).json() == {"thread_ids": [thread_id]}
    # It goes on where it was: the interrupt is answered on the thread that came back.
    assert (await client.threads.get(thread_id))["metadata"]["about"] == "export"
    values = await client.runs.wait(thread_id, "asking", command={"resume": "yes"})
    assert isinstance(values, dict)
    assert contents(values) == ["hello", "they said yes"]
    with runtime.http(ADMIN_KEY) as admin:
        assert admin.post("/admin/erase", json={"user": "bootstrap"}).json()["erased"]["threads"] >= 1
        assert admin.post("/admin/erase", json={}).status_code == 422
    assert rows(database, "SELECT count(*) FROM checkpoints") == [(0,)]
