"""Several runs' writes in one statement, on a real database: each has its own fence, its own errors and its own end."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg.errors import DataError

from tenant_runtime.database import Pool, migration_lock, migrations_apply, pool_open
from tenant_runtime.database_login import login_open
from tenant_runtime.engine.fence import Fence, fence_hold
from tenant_runtime.engine.writing import RunWriter
from tenant_runtime.errors import LeaseLost
from tenant_runtime.settings import settings_read
from tests.tenant_runtime.support import runtime_environment

_RUN = """
WITH thread AS (INSERT INTO threads (thread_id, owner) VALUES (%(run)s, 'ann'))
INSERT INTO runs (run_id, thread_id, agent, assistant_id, principal, metadata, kwargs, multitask_strategy, status,
    lease_token) VALUES (%(run)s, %(run)s, 'a', 'a', 'ann', '{}', '{}', 'enqueue', 'running', 1)"""


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[tuple[Pool, RunWriter]]:
    login = await login_open(settings_read(runtime_environment(url)))
    async with pool_open(login, 6) as pool, pool_open(login, 4, prepared=True) as own:
        async with migration_lock(pool) as conn:
            await migrations_apply(conn)
        yield pool, RunWriter(own)


async def _running(pool: Pool, count: int) -> list[Fence]:
    fences = [Fence(uuid.uuid4(), 1) for _ in range(count)]
    async with pool.connection() as conn:
        for fence in fences:
            await conn.execute(_RUN, {"run": fence.run_id})
    return fences


def _events(*numbers: int, data: str = "{}") -> dict[str, list[dict[str, Any]]]:
    return {"events": [{"seq": number, "event": "values", "data": data} for number in numbers]}


async def _stored(pool: Pool) -> dict[uuid.UUID, tuple[list[int], str]]:
    """Run -> (numbers of its events, the transactions that wrote them)."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT run_id, array_agg(seq ORDER BY seq) AS numbers, string_agg(DISTINCT xmin::text, ',') AS xmin "
            "FROM run_events GROUP BY run_id"
        )
        return {row["run_id"]: (row["numbers"], row["xmin"]) for row in await cursor.fetchall()}


async def _together(writer: RunWriter, fences: list[Fence], **options: Any) -> list[Any]:
    """One write of each, all asked for in the same moment."""
    return await asyncio.gather(
        *(writer.write(fence, _events(1, 2, **options)) for fence in fences), return_exceptions=True
    )


async def test_what_comes_meanwhile_is_one_transaction(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, writer):
        fences = await _running(pool, 5)
        assert await _together(writer, fences) == [None] * 5
        stored = await _stored(pool)
        assert {run: numbers for run, (numbers, _) in stored.items()} == {f.run_id: [1, 2] for f in fences}
        assert len({xmin for _, xmin in stored.values()}) == 1


async def test_each_of_a_group_is_held_by_its_own_token(new_database: Callable[[], str]) -> None:
    """Also where an old attempt and a new one of the same run are side by side in one process."""
    async with _opened(new_database()) as (pool, writer):
        first, mine, gone = await _running(pool, 3)
        old, strange = Fence(gone.run_id, 0), Fence(uuid.uuid4(), 1)
        answers = await _together(writer, [first, old, mine, gone, strange])
        assert [type(answer) for answer in answers] == [
            type(None), LeaseLost, type(None), type(None), LeaseLost,
        ]  # fmt: skip
        await writer.write(mine, _events(3))
        stored = await _stored(pool)
        assert {run: numbers for run, (numbers, _) in stored.items()} == {
            first.run_id: [1, 2], mine.run_id: [1, 2, 3], gone.run_id: [1, 2],
        }  # fmt: skip


async def test_one_that_cannot_be_stored_is_refused_alone(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, writer):
        first, bad, good = await _running(pool, 3)
        answers = await asyncio.gather(
            writer.write(first, _events(1)),
            writer.write(bad, _events(1, data="a\x00b")),
            writer.write(good, _events(1)),
            return_exceptions=True,
        )
        assert [answers[0], answers[2]] == [None, None]
        assert isinstance(answers[1], DataError)
        assert set(await _stored(pool)) == {first.run_id, good.run_id}


async def test_nobody_waits_for_a_run_whose_row_is_held(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, writer):
        first, held, other = await _running(pool, 3)
        async with pool.connection() as conn, conn.transaction():
            await fence_hold(conn, held, alone=True)
            late = asyncio.create_task(writer.write(first, _events(1)))
            waiting = asyncio.create_task(writer.write(held, _events(1)))
            async with asyncio.timeout(2):
                await asyncio.gather(late, writer.write(other, _events(1)))
            assert not waiting.done()
        await waiting
        assert set(await _stored(pool)) == {first.run_id, held.run_id, other.run_id}


async def test_who_goes_before_its_turn_writes_nothing(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, writer):
        first, gone, stays = await _running(pool, 3)
        under_way = asyncio.create_task(writer.write(first, _events(1)))
        for _ in range(3):
            await asyncio.sleep(0)
        assert writer._writing
        assert not writer._waiting, "the first one is under way"
        queued, other = (asyncio.create_task(writer.write(fence, _events(1))) for fence in (gone, stays))
        await asyncio.sleep(0)
        queued.cancel()
        await asyncio.gather(under_way, other)
        assert queued.cancelled()
        assert set(await _stored(pool)) == {first.run_id, stays.run_id}


async def test_who_goes_while_it_is_written_waits_for_that(new_database: Callable[[], str]) -> None:
    """What a canceled run's worker does next may be to take back what the run wrote."""
    async with _opened(new_database()) as (pool, writer):
        (fence,) = await _running(pool, 1)
        async with pool.connection() as conn, conn.transaction():
            await fence_hold(conn, fence, alone=True)
            writing = asyncio.create_task(writer.write(fence, _events(1)))
            await asyncio.sleep(0.1)
            writing.cancel()
            await asyncio.sleep(0.1)
            assert not writing.done()
        with pytest.raises(asyncio.CancelledError):
            await writing
        assert set(await _stored(pool)) == {fence.run_id}


async def test_nobody_waits_for_ever_when_the_process_ends(new_database: Callable[[], str]) -> None:
    """The loop cancels all of its tasks at once, those that write and those that wait."""
    async with _opened(new_database()) as (pool, writer):
        (fence,) = await _running(pool, 1)
        async with pool.connection() as conn, conn.transaction():
            await conn.execute("LOCK TABLE run_events IN EXCLUSIVE MODE")
            waiting = [asyncio.create_task(writer.write(fence, _events(number))) for number in (1, 2)]
            await asyncio.sleep(0.1)
            for task in [*waiting, *writer._tasks]:
                task.cancel()
            async with asyncio.timeout(3):
                answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2


async def test_many_bytes_go_by_themselves(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, writer):
        fences = await _running(pool, 3)
        assert await _together(writer, fences, data='"%s"' % ("x" * 200_000)) == [None] * 3
        stored = await _stored(pool)
        assert len({xmin for _, xmin in stored.values()}) == 3
