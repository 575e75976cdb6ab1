"""Which worker executes which run: claimed, kept by a heartbeat, given back, or taken over from a worker that is gone.

All times are the database's. A claim and a takeover raise the run's token; see fence.py for what it protects.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql
from psycopg.errors import UniqueViolation

from tenant_runtime.database import LOCK_CLAIM, LOCK_PROCESS, Pool
from tenant_runtime.engine.bus import CHANNEL, Bus
from tenant_runtime.engine.fence import Fence
from tenant_runtime.engine.states import CancelAction

Row = dict[str, Any]
LEASE_S: Final = 4.0
HEARTBEAT_S: Final = 1.0

#: A pending run `r` that a free executor may begin now: it is due, and its thread waits for nothing else. A run that
#: is asleep keeps its thread; one that was only asked for a later hour does not.
CLAIMABLE: Final = """r.status = 'pending' AND r.run_after <= now() AND (r.wake_at IS NULL OR r.wake_at <= now())
    AND NOT EXISTS (SELECT 1 FROM runs o WHERE o.thread_id = r.thread_id AND (o.status = 'running'
        OR (o.status = 'pending' AND o.seq < r.seq AND (o.run_after <= now() OR o.wake_at IS NOT NULL))))"""

#: `turn`: how many runs its owner would execute with this one. The owner with the fewest comes first, whatever the
#: others have waiting; among one owner's the highest priority, then the oldest.
_CLAIM: Final = """
WITH busy AS (SELECT principal, count(*) AS n FROM runs WHERE status = 'running' GROUP BY principal),
owners AS (SELECT DISTINCT principal FROM runs WHERE status = 'pending'),
ready AS (
    SELECT w.run_id, w.priority, w.seq, coalesce(b.n, 0)
        + row_number() OVER (PARTITION BY p.principal ORDER BY w.priority DESC, w.seq) AS turn
    FROM owners p LEFT JOIN busy b USING (principal) CROSS JOIN LATERAL (
        SELECT r.run_id, r.priority, r.seq FROM runs r WHERE r.principal = p.principal AND {claimable}
        ORDER BY r.priority DESC, r.seq LIMIT %(look)s) w
),
picked AS (
    SELECT r.run_id FROM ready JOIN runs r USING (run_id)
    WHERE r.status = 'pending' AND (%(cap)s = 0 OR ready.turn <= %(cap)s)
    ORDER BY ready.turn, ready.priority DESC, ready.seq LIMIT %(limit)s FOR UPDATE OF r SKIP LOCKED
)
UPDATE runs SET status = 'running', {ours}, started_at = coalesce(started_at, now()), wake_at = NULL
FROM picked WHERE runs.run_id = picked.run_id AND runs.status = 'pending' RETURNING runs.*"""

_OURS: Final = """claimed_by = %(process)s, claimed_lock = %(lock)s, attempt = attempt + 1,
    lease_token = lease_token + 1, lease_until = now() + make_interval(secs => %(lease)s), resumed_at = now(),
    updated_at = now()"""

#: The second half finds runs of a version without leases, whose process is gone with its lock.
_EXPIRED: Final = """status = 'running' AND (lease_until < now() OR (lease_until IS NULL AND NOT EXISTS (
    SELECT 1 FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = {process}::bigint::oid AND l.objid = runs.claimed_lock::bigint::oid
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()))))"""

#: What a lost worker executed counts up to its last heartbeat.
_TAKE_OVER: Final = """
WITH gone AS (SELECT run_id FROM runs WHERE {expired} AND losses + 1 < %(attempts)s
    ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE runs SET spent_s = spent_s + greatest(0, coalesce(extract(epoch FROM lease_until - resumed_at), 0)
    - %(lease)s), losses = losses + 1, {ours}
FROM gone WHERE runs.run_id = gone.run_id RETURNING runs.*"""

_RELEASE: Final = """
WITH freed AS (
    UPDATE runs SET status = 'pending', claimed_by = NULL, claimed_lock = NULL, lease_until = NULL,
        spent_s = spent_s + extract(epoch FROM now() - resumed_at), resumed_at = NULL, updated_at = now(), {change}
    WHERE run_id = %(run)s AND status = 'running' AND lease_token = %(token)s RETURNING run_id)
SELECT pg_notify(%(channel)s, %(message)s) FROM freed"""


@dataclass(frozen=True)
class Shares:
    """`attempts` bounds how many workers may be lost over one run; `user_runs` how many runs of one owner execute
    at once, over all workers (0: no bound)."""

    attempts: int = 5
    user_runs: int = 0


class Leases:
    def __init__(self, pool: Pool, bus: Bus, shares: Shares) -> None:
        self._pool, self._bus, self.shares = pool, bus, shares
        parts = {
            "claimable": sql.SQL(CLAIMABLE), "ours": sql.SQL(_OURS),
            "expired": sql.SQL(_EXPIRED).format(process=sql.Literal(LOCK_PROCESS)),
        }  # fmt: skip
        self._claim, self._take = sql.SQL(_CLAIM).format(**parts), sql.SQL(_TAKE_OVER).format(**parts)
        self._spent = sql.SQL("SELECT run_id FROM runs WHERE {expired} AND losses + 1 >= %s").format(**parts)

    def _values(self, limit: int) -> Row:
        return {
            "process": self._bus.process_id, "lock": self._bus.process_lock, "lease": LEASE_S, "limit": limit,
            "look": 2 * limit + 4, "cap": self.shares.user_runs, "attempts": self.shares.attempts,
        }  # fmt: skip

    async def claim(self, limit: int) -> list[Row]:
        """At most `limit` pending runs of idle threads, now running and ours."""
        try:
            async with self._pool.connection() as conn:
                if not self.shares.user_runs:
                    return await (await conn.execute(self._claim, self._values(limit))).fetchall()
                # Two claims at once would both count the owner's runs before either has begun its own.
                async with conn.transaction():
                    await conn.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_CLAIM])
                    return await (await conn.execute(self._claim, self._values(limit))).fetchall()
        except UniqueViolation:
            # Another process claimed a run of the same thread in the same moment: it has it, we look again soon.
            return []

    async def take_over(self, limit: int) -> list[Row]:
        """At most `limit` runs whose lease ran out, now ours under a new token."""
        async with self._pool.connection() as conn:
            return await (await conn.execute(self._take, self._values(limit))).fetchall()

    async def beyond_attempts(self) -> list[uuid.UUID]:
        """Runs whose lease ran out once too often: nobody takes them over, somebody must end them."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(self._spent, [self.shares.attempts])
            return [row["run_id"] for row in await cursor.fetchall()]

    async def give_back(self, fence: Fence) -> bool:
        """Back to pending at once, for any worker, its checkpoint kept. False when it was not ours any more."""
        return await self._release(fence, "losses = 0", {})

    async def give_up_attempt(self, fence: Fence) -> bool:
        """As give_back, but counted as a worker lost: something under the run broke, and is tried again."""
        change = "losses = losses + 1, run_after = now() + make_interval(secs => %(pause)s)"
        return await self._release(fence, change, {"pause": HEARTBEAT_S})

    async def sleep(self, fence: Fence, wake_at: str) -> bool:
        """Pending until `wake_at` (ISO 8601); no worker is held meanwhile."""
        # Canceled in this moment, it must not sleep first: whoever claims it next ends it.
        change = "losses = 0, wake_at = CASE WHEN cancel_action IS NULL THEN %(wake)s::timestamptz END"
        return await self._release(fence, change, {"wake": wake_at})

    async def _release(self, fence: Fence, change: str, values: Row) -> bool:
        statement = sql.SQL(_RELEASE).format(change=sql.SQL(change))
        message = self._bus.message("work")
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                statement,
                {
                    "run": fence.run_id, "token": fence.token, "channel": CHANNEL, "message": message, **values,
                },
            )  # fmt: skip
            return await cursor.fetchone() is not None

    async def last_event(self, run_id: uuid.UUID) -> int:
        """The number of the run's newest event. Asked after a takeover, when no other writer is left."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT coalesce(max(seq), 0) AS n FROM run_events WHERE run_id = %s", [run_id]
            )
            row = await cursor.fetchone()
        return int(row["n"]) if row else 0

    async def queued(self) -> int:
        """How many runs wait for a free executor, whoever it may be. A run that waits for its own thread, or for
        its hour, is not among them: another replica could not begin it either."""
        statement = sql.SQL("SELECT count(*) AS n FROM runs r WHERE {}").format(sql.SQL(CLAIMABLE))
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement)).fetchone()
        return int(row["n"]) if row else 0


class Renewal:
    """Keeps leases. `pool` is its own, so that a heartbeat never queues behind the runs it keeps."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def renew(self, held: Sequence[Fence]) -> dict[uuid.UUID, CancelAction | None]:
        """Prolongs leases, all in one statement: those still ours, each with the wish to cancel it, if any."""
        async with self._pool.connection(timeout=LEASE_S) as conn:
            cursor = await conn.execute(
                "UPDATE runs SET lease_until = now() + make_interval(secs => %s) "
                "FROM unnest(%s::uuid[], %s::bigint[]) AS held (run_id, token) WHERE runs.run_id = held.run_id "
                "AND status = 'running' AND lease_token = held.token RETURNING runs.run_id, cancel_action",
                [LEASE_S, [fence.run_id for fence in held], [fence.token for fence in held]],
            )
            return {row["run_id"]: row["cancel_action"] for row in await cursor.fetchall()}
