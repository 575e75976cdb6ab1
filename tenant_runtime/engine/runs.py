"""Rows of runs. Every move between states is one guarded update; its row, or none, is the answer."""

import uuid
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from tenant_runtime.database import LOCK_PROCESS, Connection, Pool
from tenant_runtime.engine.bus import CHANNEL, Bus
from tenant_runtime.engine.pause import paused_check
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import (
    EOF_EVENT,
    LOST_CODE,
    LOST_DETAIL,
    OUTCOME,
    CancelAction,
    RunStatus,
    Strategy,
)
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import Conflict, NotFound
from tenant_runtime.metering.outbox import Outbox

Row = dict[str, Any]
#: How long a stateless run's thread outlives it, so that a cut connection can still fetch the result.
EPHEMERAL_S: Final = 120
#: A pending run `r` that a free executor may begin now: it is due, and its thread waits for nothing else.
_CLAIMABLE: Final = """r.status = 'pending' AND r.run_after <= now() AND NOT EXISTS (
    SELECT 1 FROM runs o WHERE o.thread_id = r.thread_id
    AND (o.status = 'running' OR (o.status = 'pending' AND o.seq < r.seq)))"""


@dataclass(frozen=True)
class RunWanted:
    """A run as asked for; `kwargs` is what the executor needs, already checked."""

    agent: str
    assistant_id: str
    principal: str
    kwargs: Row
    metadata: Row
    strategy: Strategy
    delay_s: float = 0.0


class RunRows:
    def __init__(self, pool: Pool, bus: Bus, outbox: Outbox) -> None:
        self._pool, self._bus, self._outbox = pool, bus, outbox

    async def notify(self, conn: Connection, kind: str, run_id: object = "") -> None:
        await conn.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self._bus.message(kind, run_id)])

    async def create(self, wanted: RunWanted, *, thread_id: uuid.UUID | None) -> tuple[Row, list[uuid.UUID]]:
        """The new pending run, and the runs its strategy wants canceled first.

        `reject` raises Conflict while the thread is busy; the others queue behind what is active.
        thread_id None makes a thread of its own, removed after the run. Raises Paused while no new work is taken.
        """
        async with self._pool.connection() as conn, conn.transaction():
            await paused_check(conn)
            ephemeral = thread_id is None
            if thread_id is None:
                thread_id = uuid.uuid4()
                await conn.execute(
                    "INSERT INTO threads (thread_id, owner, metadata, ephemeral) VALUES (%s, %s, %s, true)",
                    [thread_id, wanted.principal, Jsonb({"graph_id": wanted.agent})],
                )
            else:
                await ThreadRows.lock(conn, thread_id)
            cursor = await conn.execute(
                "SELECT run_id FROM runs WHERE thread_id = %s AND status IN ('pending', 'running') ORDER BY seq",
                [thread_id],
            )
            active = [row["run_id"] for row in await cursor.fetchall()]
            if active and wanted.strategy == "reject":
                raise Conflict(
                    f"thread {thread_id} has an active run; wait for it, or choose another multitask_strategy",
                    code="thread_busy",
                )
            cursor = await conn.execute(
                "INSERT INTO runs (run_id, thread_id, agent, assistant_id, principal, metadata, kwargs, "
                "multitask_strategy, run_after) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)) RETURNING *",
                [
                    uuid.uuid4(), thread_id, wanted.agent, wanted.assistant_id, wanted.principal,
                    Jsonb(wanted.metadata), dumps(wanted.kwargs), wanted.strategy, wanted.delay_s,
                ],
            )  # fmt: skip
            run = await cursor.fetchone()
            assert run is not None
            await conn.execute(
                "UPDATE threads SET status = 'busy', updated_at = now(), metadata = metadata || %s "
                "WHERE thread_id = %s",
                [Jsonb({"graph_id": wanted.agent, "assistant_id": wanted.assistant_id}), thread_id],
            )
            await self.notify(conn, "work")
        displaced = [] if ephemeral or wanted.strategy not in ("interrupt", "rollback") else active
        return run, displaced

    async def get(self, run_id: uuid.UUID, thread_id: uuid.UUID | None = None) -> Row:
        async with self._pool.connection() as conn:
            row = await (await conn.execute("SELECT * FROM runs WHERE run_id = %s", [run_id])).fetchone()
        if row is None or (thread_id is not None and row["thread_id"] != thread_id):
            raise NotFound(f"no run {run_id}", code="run_not_found")
        return row

    async def of_thread(
        self, thread_id: uuid.UUID, *, limit: int, offset: int, status: str | None
    ) -> list[Row]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT * FROM runs WHERE thread_id = %(t)s AND (%(s)s::text IS NULL OR status = %(s)s) "
                "ORDER BY seq DESC LIMIT %(l)s OFFSET %(o)s",
                {"t": thread_id, "s": status, "l": limit, "o": offset},
            )
            return await cursor.fetchall()

    async def active(
        self, *, thread_id: uuid.UUID | None, run_ids: list[uuid.UUID] | None, status: str
    ) -> list[Row]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT * FROM runs WHERE status IN ('pending', 'running') "
                "AND (%(s)s = 'all' OR status = %(s)s) AND (%(t)s::uuid IS NULL OR thread_id = %(t)s) "
                "AND (%(r)s::uuid[] IS NULL OR run_id = ANY(%(r)s)) ORDER BY seq",
                {"s": status, "t": thread_id, "r": run_ids},
            )
            return await cursor.fetchall()

    async def claim(self) -> Row | None:
        """The oldest pending run of an idle thread, now running and ours; None when there is nothing to do."""
        statement = sql.SQL(
            """
            UPDATE runs SET status = 'running', claimed_by = %s, claimed_lock = %s, attempt = attempt + 1,
                started_at = now(), updated_at = now()
            WHERE status = 'pending' AND run_id = (
                SELECT r.run_id FROM runs r WHERE {} ORDER BY r.seq LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING *"""
        ).format(sql.SQL(_CLAIMABLE))
        try:
            async with self._pool.connection() as conn:
                cursor = await conn.execute(statement, [self._bus.process_id, self._bus.process_lock])
                return await cursor.fetchone()
        except UniqueViolation:
            # Another process claimed a run of the same thread in the same moment: it has it, we have none.
            return None

    async def queued(self) -> int:
        """How many runs wait for a free executor, whoever it may be. A run that waits for its own thread, or for
        its hour, is not among them: another replica could not begin it either."""
        statement = sql.SQL("SELECT count(*) AS n FROM runs r WHERE {}").format(sql.SQL(_CLAIMABLE))
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement)).fetchone()
        return int(row["n"]) if row else 0

    async def finish(
        self,
        run_id: uuid.UUID,
        *,
        status: RunStatus,
        values: str | None = None,
        interrupts: Row | None = None,
        error: tuple[str, str] | None = None,
        last_events: list[tuple[int, str, str]] | None = None,
    ) -> bool:
        """Ends a run of ours: state, result, thread, last events and usage in one transaction.

        False when it was not ours to end any more (given up as lost, or removed).
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "UPDATE runs SET status = %s, output = %s, error_code = %s, error_detail = %s, ended_at = now(), "
                "updated_at = now() WHERE run_id = %s AND status = 'running' AND claimed_by = %s RETURNING *",
                [status, values, *(error or (None, None)), run_id, self._bus.process_id],
            )
            row = await cursor.fetchone()
            if row is None:
                return False
            if values is not None:
                await conn.execute(
                    'UPDATE threads SET "values" = %s::jsonb, interrupts = %s WHERE thread_id = %s',
                    [values, Jsonb(interrupts or {}), row["thread_id"]],
                )
            for seq, name, data in last_events or []:
                await conn.execute(
                    "INSERT INTO run_events (run_id, seq, event, data) VALUES (%s, %s, %s, %s)",
                    [run_id, seq, name, data],
                )
            await self._settle(conn, row, interrupted=bool(interrupts))
        self._outbox.woken()
        self._bus.wake(run_id)
        return True

    async def _settle(self, conn: Connection, row: Row, *, interrupted: bool = False) -> None:
        """What every end has in common: usage, the thread's status, and who must be woken."""
        await self._outbox.run_end(conn, row, outcome=OUTCOME[row["status"]])
        after = "error" if row["status"] in ("error", "timeout") else "interrupted" if interrupted else "idle"
        await conn.execute(
            "UPDATE threads SET updated_at = now(), status = CASE WHEN EXISTS (SELECT 1 FROM runs WHERE "
            "thread_id = %(t)s AND status IN ('pending', 'running')) THEN 'busy' ELSE %(s)s END, "
            "remove_after = CASE WHEN ephemeral THEN now() + make_interval(secs => %(e)s) END "
            "WHERE thread_id = %(t)s",
            {"t": row["thread_id"], "s": after, "e": EPHEMERAL_S},
        )
        await self.notify(conn, "run", row["run_id"])
        await self.notify(conn, "work")

    async def cancel(self, run_id: uuid.UUID, action: CancelAction) -> RunStatus | None:
        """Asks an active run to end; the status it had, None when it was over already.

        A pending run ends here and now; a running one when its process has seen the wish.
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "UPDATE runs SET status = 'interrupted', cancel_action = %s, ended_at = now(), updated_at = now() "
                "WHERE run_id = %s AND status = 'pending' RETURNING *",
                [action, run_id],
            )
            if row := await cursor.fetchone():
                await self._end_event(conn, row)
                await self._settle(conn, row)
                status: RunStatus | None = "pending"
            else:
                cursor = await conn.execute(
                    "UPDATE runs SET cancel_action = %s, updated_at = now() "
                    "WHERE run_id = %s AND status = 'running' RETURNING run_id",
                    [action, run_id],
                )
                status = "running" if await cursor.fetchone() else None
                await self.notify(conn, "cancel", run_id)
        self._bus.wake(run_id)
        return status

    async def _end_event(self, conn: Connection, row: Row) -> None:
        """Closes the event log of a run whose process does not do it."""
        events: list[tuple[str, Row]] = []
        if row["error_code"]:
            events.append(("error", {"error": row["error_code"], "message": row["error_detail"]}))
        events.append((EOF_EVENT, {"run_id": str(row["run_id"]), "status": row["status"]}))
        for event, data in events:
            await conn.execute(
                "INSERT INTO run_events (run_id, seq, event, data) SELECT %(r)s, coalesce(max(seq), 0) + 1, "
                "%(e)s, %(d)s FROM run_events WHERE run_id = %(r)s",
                {"r": row["run_id"], "e": event, "d": dumps(data)},
            )

    async def delete(self, run_id: uuid.UUID) -> bool:
        """Removes a run that is over; False while it is active."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "DELETE FROM runs WHERE run_id = %s AND status NOT IN ('pending', 'running')", [run_id]
            )
            return cursor.rowcount == 1

    async def give_up_lost(self) -> list[uuid.UUID]:
        """Ends runs whose process holds its advisory lock no longer: it is dead, or cut off for good."""
        statement = sql.SQL(
            "UPDATE runs SET status = 'error', error_code = {}, error_detail = {}, ended_at = now(), "
            "updated_at = now() WHERE status = 'running' AND NOT EXISTS (SELECT 1 FROM pg_locks l "
            "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = {}::bigint::oid "
            "AND l.objid = runs.claimed_lock::bigint::oid "
            "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())) RETURNING *"
        ).format(sql.Literal(LOST_CODE), sql.Literal(LOST_DETAIL), sql.Literal(LOCK_PROCESS))
        async with self._pool.connection() as conn, conn.transaction():
            rows = await (await conn.execute(statement)).fetchall()
            for row in rows:
                await self._end_event(conn, row)
                await self._settle(conn, row)
        for row in rows:
            self._bus.wake(row["run_id"])
        return [row["run_id"] for row in rows]

    async def cancel_wishes(self) -> list[str]:
        """Our running runs somebody wants ended: the fallback for a message that was lost."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT run_id FROM runs WHERE status = 'running' AND claimed_by = %s "
                "AND cancel_action IS NOT NULL",
                [self._bus.process_id],
            )
            return [str(row["run_id"]) for row in await cursor.fetchall()]
