"""A hundred forged rows: none runs code, none brings state of another place in, each is audited."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ormsgpack
import psycopg
import psycopg.types.json
import pytest

from tests.tenant_runtime.support import (
    RuntimeProcess,
    runtime_environment,
    runtime_started,
    wait_until,
)

ROUNDS = 4  # of 14 values in two tables, with seven more: 119


class Pickled:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        import os

        return os.system, (f"touch {self.mark}",)


def forgeries(mark: Path) -> list[tuple[str, bytes]]:
    """(type, bytes) of values that run a command where they are rebuilt as their writer wants."""
    command = f"touch {mark}"

    def ext(code: int, *parts: Any) -> bytes:
        return bytes(ormsgpack.packb(ormsgpack.Ext(code, ormsgpack.packb(parts))))

    constructor = {
        "lc": 2, "type": "constructor", "id": ["os", "system"], "args": [command], "kwargs": {},
    }  # fmt: skip
    return [
        ("msgpack", ext(0, "os", "system", command)),
        ("msgpack", ext(1, "os", "system", [command])),
        ("msgpack", ext(2, "subprocess", "Popen", {"args": command, "shell": True})),
        ("msgpack", ext(3, "os", "environ", command, "system")),
        ("msgpack", ext(4, "subprocess", "Popen", {"args": command, "shell": True})),
        ("msgpack", ext(5, "subprocess", "Popen", {"args": command, "shell": True}, "run")),
        ("pickle", pickle.dumps(Pickled(mark))),
        ("json", json.dumps(constructor).encode()),
        ("json", json.dumps({**constructor, "lc": 1}).encode()),
        ("bytes", b"plain bytes"),
        ("msgpack", bytes(ormsgpack.packb([{"type": "human", "content": "a foreign state"}]))),
        ("fh1:t1:msgpack", bytes(ormsgpack.packb(["said to be sealed"]))),
        ("fh1:t9:msgpack", b"0" * 40),
        ("fh1:t1:pickle", pickle.dumps(Pickled(mark))),
    ]


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str], test_agents: Path
) -> Iterator[tuple[RuntimeProcess, str]]:
    url = new_database()
    environment = runtime_environment(url, RUNTIME_LOG_LEVEL="warning")
    with runtime_started(tmp_path_factory.mktemp("forged"), environment, manifest=test_agents) as runtime:
        yield runtime, url


def refused(runtime: RuntimeProcess, url: str, thread_id: str) -> None:
    """The state, the history and a run are refused; each leaves a row in the audit."""
    with runtime.http() as http:
        state = http.get(f"/threads/{thread_id}/state")
        assert (state.status_code, state.json()["code"]) == (500, "stored_state_refused"), state.text
        history = http.post(f"/threads/{thread_id}/history", json={})
        assert history.json()["code"] == "stored_state_refused"
        run = http.post(
            f"/threads/{thread_id}/runs/wait", json={"assistant_id": "slow", "input": {"steps": 1}}
        )
        assert "stored_state_refused" in run.text
    with psycopg.connect(url) as conn:
        audited = conn.execute(
            "SELECT count(*) FROM audit_log WHERE action = 'checkpoint.refused' AND object = %s",
            [f"thread/{thread_id}"],
        ).fetchone()
    assert audited is not None
    assert audited[0] >= 3


async def test_a_hundred_forged_rows(world: tuple[RuntimeProcess, str], tmp_path: Path) -> None:
    runtime, url = world
    client = runtime.sdk()
    mark = tmp_path / "executed"
    threads = []
    for _ in range(2):
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "slow", input={"steps": 2, "messages": "mine"})
        threads.append(thread_id)
    mine, other = threads
    before = (await client.threads.get_state(mine))["values"]
    tried = 0

    def with_row(statement: str, values: list[Any], table: str) -> None:
        """Changes rows, expects the refusal, and puts the table's rows back."""
        nonlocal tried
        with psycopg.connect(url, autocommit=True) as conn:
            kept = conn.execute(f"SELECT * FROM {table} WHERE thread_id = %s", [mine]).fetchall()
            changed = conn.execute(statement, values)
            assert changed.rowcount > 0
        with runtime.http() as http:
            # Each is asked for in one way, a few in all of them; values of their own only lie in old checkpoints here.
            way = tried % 2 and table == "checkpoint_writes"
            answer = (
                http.get(f"/threads/{mine}/state") if way else http.post(f"/threads/{mine}/history", json={})
            )
        assert answer.json()["code"] == "stored_state_refused", (statement, values[:1], answer.text[:300])
        if tried % 25 == 1 and table == "checkpoint_writes":
            refused(runtime, url, mine)
        tried += 1
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(f"DELETE FROM {table} WHERE thread_id = %s", [mine])
            slots = ", ".join(["%s"] * len(kept[0]))
            for row in kept:
                adapted = [psycopg.types.json.Jsonb(item) if isinstance(item, dict) else item for item in row]
                conn.execute(f"INSERT INTO {table} VALUES ({slots})", adapted)

    for type_, data in forgeries(mark) * ROUNDS:
        for table in ("checkpoint_blobs", "checkpoint_writes"):
            if table == "checkpoint_blobs" and not await _has_blobs(url, mine):
                continue
            with_row(
                f"UPDATE {table} SET type = %s, blob = %s WHERE thread_id = %s", [type_, data, mine], table
            )
    # Rows of another thread, of another checkpoint, and a checkpoint as an attacker would like it.
    with_row(
        "UPDATE checkpoint_writes w SET type = o.type, blob = o.blob FROM checkpoint_writes o "
        "WHERE w.thread_id = %s AND o.thread_id = %s AND o.idx = w.idx AND o.channel = w.channel",
        [mine, other],
        "checkpoint_writes",
    )
    with_row(
        "UPDATE checkpoints c SET checkpoint = o.checkpoint FROM checkpoints o WHERE c.thread_id = %s "
        "AND o.thread_id = %s",
        [mine, other],
        "checkpoints",
    )
    with_row(
        "UPDATE checkpoints c SET checkpoint = (SELECT o.checkpoint FROM checkpoints o WHERE o.thread_id = "
        "c.thread_id ORDER BY o.checkpoint_id LIMIT 1) WHERE c.thread_id = %s",
        [mine],
        "checkpoints",
    )
    for change in (
        "checkpoint - 'sealed'",
        "checkpoint - 'sealed' || '{\"channel_values\": {\"count\": 99}}'",
        "jsonb_set(checkpoint, '{sealed,1}', '\"AAAA\"')",
        "jsonb_set(checkpoint, '{sealed}', '7')",
    ):
        with_row(f"UPDATE checkpoints SET checkpoint = {change} WHERE thread_id = %s", [mine], "checkpoints")
    assert tried >= 100
    assert not mark.exists()
    # What was put back opens again, and its clear columns count for nothing.
    assert (await client.threads.get_state(mine))["values"] == before
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "UPDATE checkpoints SET checkpoint = jsonb_set(checkpoint, '{channel_values}', '{\"count\": 99}') "
            "WHERE thread_id = %s",
            [mine],
        )
    assert (await client.threads.get_state(mine))["values"] == before


async def _has_blobs(url: str, thread_id: str) -> bool:
    with psycopg.connect(url) as conn:
        row = conn.execute(
            "SELECT 1 FROM checkpoint_blobs WHERE thread_id = %s LIMIT 1", [thread_id]
        ).fetchone()
    return row is not None


async def test_an_older_database_is_sealed_and_then_refuses_plain_rows(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url = new_database()
    sealed = runtime_environment(url, RUNTIME_SEALING_GRACE_S="0", RUNTIME_LOG_LEVEL="warning")
    plain = {name: value for name, value in sealed.items() if name != "RUNTIME_ENCRYPTION_KEYS"}
    with runtime_started(tmp_path, plain, manifest=test_agents) as runtime:
        client = runtime.sdk()
        thread_id = (await client.threads.create())["thread_id"]
        values = await client.runs.wait(thread_id, "slow", input={"steps": 2, "messages": "from before"})
    with psycopg.connect(url, autocommit=True) as conn:
        assert conn.execute(
            "SELECT count(*) > 0 FROM checkpoint_writes WHERE type NOT LIKE 'fh1:%'"
        ).fetchone() == (True,)
        with runtime_started(tmp_path, sealed, manifest=test_agents) as runtime:
            client = runtime.sdk()
            wait_until(
                lambda: conn.execute("SELECT 1 FROM checkpoint_seal WHERE plain_until <= now()").fetchone(),
                20,
                "the old rows to be sealed",
            )
            for table in ("checkpoint_writes", "checkpoint_blobs"):
                left = f"SELECT count(*) FROM {table} WHERE type NOT LIKE 'fh1:%' AND type <> 'empty'"
                assert conn.execute(left).fetchone() == (0,)
            assert (await client.threads.get_state(thread_id))["values"] == values
            more = await client.runs.wait(thread_id, "slow", input={"steps": 1, "messages": "more"})
            assert isinstance(more, dict)
            assert isinstance(values, dict)
            assert len(more["messages"]) == len(values["messages"]) + 2
            conn.execute(
                "UPDATE checkpoint_writes SET type = 'null', blob = '' WHERE thread_id = %s", [thread_id]
            )
            refused(runtime, url, thread_id)
