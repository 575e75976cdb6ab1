"""Claims, heartbeats, releases and fences on a real database, without a server: the rows decide."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tenant_runtime.database import IDLE_TRANSACTION_MS, Pool, migration_lock, migrations_apply, pool_open
from tenant_runtime.database_login import login_open
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.events import RunLog
from tenant_runtime.engine.fence import Fence, fence_hold
from tenant_runtime.engine.leases import Leases, Renewal, Shares
from tenant_runtime.engine.writing import RunWriter
from tenant_runtime.errors import LeaseLost
from tenant_runtime.settings import settings_read
from tests.tenant_runtime.support import runtime_environment

Row = dict[str, Any]


@asynccontextmanager
async def _opened(url: str, shares: Shares | None = None) -> AsyncIterator[tuple[Pool, Leases]]:
    login = await login_open(settings_read(runtime_environment(url)))
    async with pool_open(login, 4) as pool:
        async with migration_lock(pool) as conn:
            await migrations_apply(conn)
        yield pool, Leases(pool, Bus(login), shares or Shares())


async def _pending(
    pool: Pool, principal: str = "ada", *, thread: uuid.UUID | None = None, **columns: Any
) -> uuid.UUID:
    run_id, thread_id = uuid.uuid4(), thread or uuid.uuid4()
    async with pool.connection() as conn:
        await conn.execute(
            "INSERT INTO threads (thread_id, owner) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [thread_id, principal],
        )
        await conn.execute(
            "INSERT INTO runs (run_id, thread_id, agent, assistant_id, principal, kwargs, multitask_strategy, priority,"
            " run_after) VALUES (%s, %s, 'a', 'a', %s, '{}', 'enqueue', %s, %s)",
            [
                run_id,
                thread_id,
                principal,
                columns.get("priority", 0),
                columns.get("run_after", datetime.now(UTC)),
            ],
        )
    return run_id


async def _expire(pool: Pool, run_id: uuid.UUID) -> None:
    async with pool.connection() as conn:
        await conn.execute("UPDATE runs SET lease_until = now() - interval '1 s' WHERE run_id = %s", [run_id])


async def _row(pool: Pool, run_id: uuid.UUID) -> Row:
    async with pool.connection() as conn:
        found = await (await conn.execute("SELECT * FROM runs WHERE run_id = %s", [run_id])).fetchone()
    assert found is not None
    return found


def _fence(row: Row) -> Fence:
    return Fence(row["run_id"], row["lease_token"])


async def test_owners_take_turns_then_priority_then_age(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, leases):
        greedy = [await _pending(pool, "greedy") for _ in range(6)]
        urgent = await _pending(pool, "greedy", priority=5)
        modest = [await _pending(pool, "modest") for _ in range(2)]
        order = []
        for _ in range(9):
            (row,) = await leases.claim(1)
            order.append(row["run_id"])
        assert order[:5] == [urgent, modest[0], greedy[0], modest[1], greedy[1]]
        assert order[5:] == greedy[2:]
        assert await leases.claim(1) == []


async def test_a_batch_is_shared_as_fairly_as_single_claims(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, leases):
        for _ in range(8):
            await _pending(pool, "greedy")
        modest = [await _pending(pool, "modest") for _ in range(2)]
        claimed = await leases.claim(4)
        assert sorted(row["principal"] for row in claimed) == ["greedy", "greedy", "modest", "modest"]
        assert {row["run_id"] for row in claimed} >= set(modest)


async def test_an_owners_cap_holds_against_claims_at_once(new_database: Callable[[], str]) -> None:
    async with _opened(new_database(), Shares(user_runs=3)) as (pool, leases):
        for _ in range(12):
            await _pending(pool, "ada")
        other = await _pending(pool, "bob")
        claimed = [row for rows in await asyncio.gather(*(leases.claim(2) for _ in range(8))) for row in rows]
        assert sum(row["principal"] == "ada" for row in claimed) == 3
        assert other in {row["run_id"] for row in claimed}
        assert await leases.give_back(_fence(next(row for row in claimed if row["principal"] == "ada")))
        assert len(await leases.claim(5)) == 1


async def test_every_claim_is_one_workers(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, leases):
        wanted = {await _pending(pool, f"user-{number % 3}") for number in range(30)}
        claimed: list[Row] = []
        while len(claimed) < 30:
            for rows in await asyncio.gather(*(leases.claim(5) for _ in range(4))):
                claimed.extend(rows)
        assert {row["run_id"] for row in claimed} == wanted
        assert len(claimed) == 30
        assert {row["lease_token"] for row in claimed} == {1}


async def test_a_thread_has_one_writer_and_a_later_run_does_not_hold_it(
    new_database: Callable[[], str],
) -> None:
    async with _opened(new_database()) as (pool, leases):
        thread = uuid.uuid4()
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        await _pending(pool, thread=thread, run_after=tomorrow)
        first = await _pending(pool, thread=thread)
        second = await _pending(pool, thread=thread)
        assert await leases.queued() == 1
        (row,) = await leases.claim(5)
        assert row["run_id"] == first
        assert await leases.claim(5) == []
        assert await leases.sleep(_fence(row), tomorrow.isoformat())
        assert await leases.claim(5) == [], "a sleeping run keeps its thread"
        assert (await _row(pool, second))["status"] == "pending"


async def test_a_lease_is_kept_lost_and_taken_over(new_database: Callable[[], str]) -> None:
    async with _opened(new_database(), Shares(attempts=2)) as (pool, leases):
        run_id = await _pending(pool)
        (row,) = await leases.claim(1)
        assert await Renewal(pool).renew([_fence(row)]) == {run_id: None}
        assert await leases.take_over(5) == [], "a lease that holds is respected"
        await _expire(pool, run_id)
        (taken,) = await leases.take_over(5)
        assert (taken["attempt"], taken["lease_token"], taken["losses"]) == (2, 2, 1)
        assert await Renewal(pool).renew([_fence(row)]) == {}, "the old token keeps nothing"
        assert not await leases.give_back(_fence(row))
        assert not await leases.sleep(_fence(row), datetime.now(UTC).isoformat())
        await _expire(pool, run_id)
        assert await leases.take_over(5) == [], "the attempts are spent"
        assert await leases.beyond_attempts() == [run_id]


async def test_what_was_given_back_is_nobodys_loss(new_database: Callable[[], str]) -> None:
    async with _opened(new_database(), Shares(attempts=2)) as (pool, leases):
        run_id = await _pending(pool)
        for attempt in range(1, 5):
            (row,) = await leases.claim(1)
            assert row["attempt"] == attempt
            await asyncio.sleep(0.05)
            assert await leases.give_back(_fence(row))
        found = await _row(pool, run_id)
        assert (found["status"], found["losses"], found["resumed_at"]) == ("pending", 0, None)
        assert 0.2 <= found["spent_s"] < 2


async def test_nothing_is_written_under_an_old_token(new_database: Callable[[], str]) -> None:
    async with _opened(new_database()) as (pool, leases):
        run_id = await _pending(pool)
        (row,) = await leases.claim(1)
        old = RunLog(RunWriter(pool), Bus.__new__(Bus), _fence(row))
        old._bus = leases._bus
        old.append("values", {"n": 1})
        await old.flush()
        await _expire(pool, run_id)
        (taken,) = await leases.take_over(1)
        assert await leases.last_event(run_id) == 1
        old.append("values", {"n": 2})
        with pytest.raises(LeaseLost):
            await old.flush()
        new = RunLog(RunWriter(pool), leases._bus, _fence(taken), after=1)
        new.append("values", {"n": 3})
        await new.flush()
        await new.flush()
        async with pool.connection() as conn:
            rows = await (await conn.execute("SELECT seq, data FROM run_events ORDER BY seq")).fetchall()
            assert [(item["seq"], json.loads(item["data"])["n"]) for item in rows] == [(1, 1), (2, 3)]
            async with conn.transaction():
                await fence_hold(conn, _fence(taken))
            with pytest.raises(LeaseLost):
                async with conn.transaction():
                    await fence_hold(conn, _fence(row))


async def test_a_takeover_passes_over_a_writer_in_the_act_and_outlives_a_stuck_one(
    new_database: Callable[[], str],
) -> None:
    async with _opened(new_database()) as (pool, leases):
        run_id = await _pending(pool)
        (row,) = await leases.claim(1)
        await _expire(pool, run_id)

        async def stuck() -> None:
            async with pool.connection() as conn, conn.transaction():
                await fence_hold(conn, _fence(row))
                assert await leases.take_over(1) == []
                # As a worker that is paused in the middle of a transaction.
                await asyncio.sleep(IDLE_TRANSACTION_MS / 1000 + 1)
                await conn.execute("SELECT 1")

        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            await stuck()
        (taken,) = await leases.take_over(1)
        assert taken["lease_token"] == 2
