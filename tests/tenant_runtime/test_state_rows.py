"""The saver's writes on a real database: with the checkpoint that follows, or alone, and never without the lease."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tenant_runtime.database import Pool, migration_lock, migrations_apply, pool_open
from tenant_runtime.database_login import login_open
from tenant_runtime.engine.checkpoints import checkpointer_make
from tenant_runtime.engine.fence import Fence, fence_enter
from tenant_runtime.engine.serde import rows as state_rows
from tenant_runtime.engine.serde.gate import SealGate
from tenant_runtime.engine.serde.rows import Blob, StateRows, Write
from tenant_runtime.errors import LeaseLost
from tenant_runtime.settings import settings_read
from tests.tenant_runtime.support import runtime_environment


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[Pool, StateRows]]:
    login = await login_open(settings_read(runtime_environment(url)))

    async def refused(*_: str) -> None:
        raise AssertionError("nothing is refused here")

    async with pool_open(login, 4) as pool, pool_open(login, 4, prepared=True) as own:
        saver = checkpointer_make(own, sealer=None, gate=SealGate(keyed=False), refused=refused)
        async with migration_lock(pool) as conn:
            await migrations_apply(conn)
            await saver.setup()
        yield pool, saver.rows


def _values(thread: str, checkpoint: str, parent: str | None = None) -> dict[str, Any]:
    column = {"id": checkpoint}
    return {
        "thread": thread,
        "ns": "",
        "id": checkpoint,
        "parent": parent,
        "checkpoint": column,
        "metadata": dict[str, Any](),
    }


def _write(task: str, place: int, blob: bytes = b"1", channel: str = "count") -> Write:
    return Write(task, "~path", place, channel, "msgpack", blob)


async def _stored(pool: Pool, thread: str) -> dict[tuple[str, int], tuple[str, bytes, str]]:
    """(task, place) -> (checkpoint, blob, the transaction that wrote it)."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT *, xmin::text FROM checkpoint_writes WHERE thread_id = %s", [thread]
        )
        return {
            (row["task_id"], row["idx"]): (row["checkpoint_id"], bytes(row["blob"]), row["xmin"])
            for row in await cursor.fetchall()
        }


async def _transaction_of(pool: Pool, thread: str, checkpoint: str) -> str:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT xmin::text FROM checkpoints WHERE thread_id = %s AND checkpoint_id = %s",
            [thread, checkpoint],
        )
        row = await cursor.fetchone()
    assert row is not None
    return str(row["xmin"])


async def test_writes_are_one_transaction_with_the_checkpoint_that_follows(
    new_database: Callable[[], str],
) -> None:
    async with _opened(new_database()) as (pool, rows):
        thread = str(uuid.uuid4())
        await rows.checkpoint(_values(thread, "1"), [Blob("count", "1", "msgpack", b"0")], finished=False)
        first = asyncio.create_task(
            rows.writes(thread, "", "1", [_write("a", 0), _write("a", 1)], replace=False)
        )
        second = asyncio.create_task(rows.writes(thread, "", "1", [_write("b", 0)], replace=False))
        await asyncio.sleep(0)
        await rows.checkpoint(_values(thread, "2", "1"), [], finished=True)
        await asyncio.gather(first, second)
        stored = await _stored(pool, thread)
        assert set(stored) == {("a", 0), ("a", 1), ("b", 0)}
        assert {xmin for _, _, xmin in stored.values()} == {await _transaction_of(pool, thread, "2")}


async def test_writes_without_a_checkpoint_are_stored_alone(new_database: Callable[[], str]) -> None:
    """Of a place that is taken the first stays; one of a fixed place, as an interrupt's, takes it."""
    async with _opened(new_database()) as (pool, rows):
        thread = str(uuid.uuid4())
        await rows.writes(thread, "", "1", [_write("a", 0, b"first"), _write("a", 1)], replace=False)
        await rows.writes(thread, "", "1", [_write("a", 0, b"second")], replace=False)
        await rows.writes(thread, "", "1", [_write("a", -4, b"old"), _write("a", -4, b"older")], replace=True)
        await rows.writes(thread, "", "1", [_write("a", -4, b"new")], replace=True)
        blobs = {place: blob for place, (_, blob, _) in (await _stored(pool, thread)).items()}
        assert blobs == {("a", 0): b"first", ("a", 1): b"1", ("a", -4): b"new"}
        assert rows._gathered == {}


async def test_whoever_waited_is_told_that_the_lease_is_lost(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, rows):
        thread = str(uuid.uuid4())
        fence_enter(Fence(uuid.uuid4(), 1))  # of a run that is not there
        with pytest.raises(LeaseLost):
            await rows.writes(thread, "", "1", [_write("a", 0)], replace=False)
        waiting = asyncio.create_task(rows.writes(thread, "", "1", [_write("a", 0)], replace=False))
        await asyncio.sleep(0)
        with pytest.raises(LeaseLost):
            await rows.checkpoint(_values(thread, "2", "1"), [Blob("c", "1", "msgpack", b"0")], finished=True)
        with pytest.raises(LeaseLost):
            await waiting
        assert await _stored(pool, thread) == {}


async def test_a_waiter_that_goes_leaves_the_others_their_answer(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_rows, "GATHER_S", 0.05)
    async with _opened(new_database()) as (pool, rows):
        thread = str(uuid.uuid4())
        gone = asyncio.create_task(rows.writes(thread, "", "1", [_write("a", 0)], replace=False))
        stays = asyncio.create_task(rows.writes(thread, "", "1", [_write("b", 0)], replace=False))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        assert gone.cancelled()
        assert set(await _stored(pool, thread)) == {("a", 0), ("b", 0)}
