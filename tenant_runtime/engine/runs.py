"""Rows of runs. Every move between states is one guarded update; its row, or none, is the answer."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection, Pool
from tenant_runtime.engine.bus import CHANNEL, Bus
from tenant_runtime.engine.events import RunEvent
from tenant_runtime.engine.fence import Fence
from tenant_runtime.engine.pause import paused_ask, paused_refuse
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import (
    EOF_EVENT,
    LOST_CODE,
    OUTCOME,
    CancelAction,
    RunStatus,
    Strategy,
    lost_detail,
)
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import Conflict, NotFound
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.webhooks.outbox import completion_write
from tenant_runtime.webhooks.pushes import pushes_write

Row = dict[str, Any]
#: How long a stateless run's thread outlives it, so that a cut connection can still fetch the result.
EPHEMERAL_S: Final = 120
#: What the last worker executed is added; time asleep or waiting is not.
_ENDED: Final = """spent_s = spent_s + coalesce(extract(epoch FROM least(now(), lease_until) - resumed_at), 0),
    ended_at = now(), updated_at = now()"""


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
    webhook: str | None = None
    run_id: uuid.UUID | None = None
    """The id the run is to have, so that asking twice for it gives one; None: a new one."""
    #: Among one principal's waiting runs the highest goes first. No request says it; doors of our own may.
    priority: int = 0


#: The runs of the thread that are not over, oldest first.
_ACTIVE: Final = (
    "SELECT run_id FROM runs WHERE thread_id = %s AND status IN ('pending', 'running') ORDER BY seq"
)


class RunRows:
    def __init__(self, pool: Pool, bus: Bus, outbox: Outbox) -> None:
        self._pool, self._bus, self._outbox = pool, bus, outbox

    async def notify(self, conn: Connection, kind: str, run_id: object = "") -> None:
        await conn.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self._bus.message(kind, run_id)])

    async def create(
        self, wanted: RunWanted, *, thread_id: uuid.UUID | None, owner: str | None
    ) -> tuple[Row, list[uuid.UUID]]:
        """The new pending run, and the runs its strategy wants canceled first. The thread must be the owner's, or
        anybody's with `owner` None.

        `reject` raises Conflict while the thread is busy; the others queue behind what is active.
        thread_id None makes a thread of its own, removed after the run. Raises Paused while no new work is taken.
        """
        graph = Jsonb({"graph_id": wanted.agent, "assistant_id": wanted.assistant_id})
        active: list[uuid.UUID] = []
        # In a pipeline only an answer costs a way to the database and back: all is asked first, in its order.
        async with self._pool.connection() as conn, conn.pipeline(), conn.transaction():
            paused = await paused_ask(conn)
            if ephemeral := thread_id is None:
                thread_id = uuid.uuid4()
                await conn.execute(
                    "INSERT INTO threads (thread_id, owner, metadata, status, ephemeral) "
                    "VALUES (%s, %s, %s, 'busy', true)",
                    [thread_id, wanted.principal, graph],
                )
                await paused_refuse(paused)
            else:
                locked = await ThreadRows.lock_ask(conn, thread_id, owner=owner)
                others = await conn.execute(_ACTIVE, [thread_id])
                await paused_refuse(paused)
                await ThreadRows.locked(locked, thread_id)
                active = [row["run_id"] for row in await others.fetchall()]
            if active and wanted.strategy == "reject":
                raise Conflict(
                    f"thread {thread_id} has an active run; wait for it, or choose another multitask_strategy",
                    code="thread_busy",
                )
            inserted = await conn.execute(
                "INSERT INTO runs (run_id, thread_id, agent, assistant_id, principal, metadata, kwargs, "
                "multitask_strategy, webhook, priority, run_after) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, now() + make_interval(secs => %s)) "
                "ON CONFLICT (run_id) DO NOTHING RETURNING *",
                [
                    wanted.run_id or uuid.uuid4(), thread_id, wanted.agent, wanted.assistant_id, wanted.principal,
                    Jsonb(wanted.metadata), dumps(wanted.kwargs), wanted.strategy, wanted.webhook,
                    wanted.priority,
                    wanted.delay_s,
                ],
            )  # fmt: skip
            if not ephemeral:
                await conn.execute(
                    "UPDATE threads SET status = 'busy', updated_at = now(), metadata = metadata || %s "
                    "WHERE thread_id = %s",
                    [graph, thread_id],
                )
            await self.notify(conn, "work")
            run = await inserted.fetchone()
            if run is None:
                raise Conflict(f"run {wanted.run_id} was begun before", code="run_exists")
        self._bus.wake(thread_id)
        displaced = [] if ephemeral or wanted.strategy not in ("interrupt", "rollback") else active
        return run, displaced

    async def get(self, run_id: uuid.UUID, thread_id: uuid.UUID | None = None, *, owner: str | None) -> Row:
        """A run belongs to whom its thread belongs to, whoever started it. `owner` None sees everybody's."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT r.* FROM runs r WHERE r.run_id = %(r)s AND (%(o)s::text IS NULL OR EXISTS "
                "(SELECT 1 FROM threads t WHERE t.thread_id = r.thread_id AND t.owner = %(o)s))",
                {"r": run_id, "o": owner},
            )
            row = await cursor.fetchone()
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

    async def search(
        self,
        *,
        owner: str | None,
        metadata: Row | None,
        status: str | None,
        thread_id: uuid.UUID | None,
        assistant_id: str | None,
        limit: int,
        offset: int,
    ) -> list[Row]:
        """Newest first."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT r.* FROM runs r JOIN threads t USING (thread_id) WHERE r.metadata @> %(m)s "
                "AND (%(s)s::text IS NULL OR r.status = %(s)s) AND (%(t)s::uuid IS NULL OR r.thread_id = %(t)s) "
                "AND (%(a)s::text IS NULL OR r.assistant_id = %(a)s) "
                "AND (%(o)s::text IS NULL OR t.owner = %(o)s) ORDER BY r.seq DESC LIMIT %(l)s OFFSET %(f)s",
                {
                    "m": Jsonb(metadata or {}), "s": status, "t": thread_id, "a": assistant_id, "o": owner,
                    "l": limit, "f": offset,
                },
            )  # fmt: skip
            return await cursor.fetchall()

    async def active(
        self,
        *,
        thread_id: uuid.UUID | None,
        run_ids: list[uuid.UUID] | None,
        status: str,
        owner: str | None,
    ) -> list[Row]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT r.* FROM runs r JOIN threads t USING (thread_id) WHERE r.status IN ('pending', 'running') "
                "AND (%(s)s = 'all' OR r.status = %(s)s) AND (%(t)s::uuid IS NULL OR r.thread_id = %(t)s) "
                "AND (%(r)s::uuid[] IS NULL OR r.run_id = ANY(%(r)s)) "
                "AND (%(o)s::text IS NULL OR t.owner = %(o)s) ORDER BY r.seq",
                {"s": status, "t": thread_id, "r": run_ids, "o": owner},
            )
            return await cursor.fetchall()

    async def foreign(self, run_ids: list[uuid.UUID], *, owner: str | None) -> bool:
        """Whether any of these runs is another owner's."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT 1 FROM runs r JOIN threads t USING (thread_id) WHERE r.run_id = ANY(%(r)s) "
                "AND %(o)s::text IS NOT NULL AND t.owner <> %(o)s LIMIT 1",
                {"r": run_ids, "o": owner},
            )
            return await cursor.fetchone() is not None

    async def finish(
        self,
        fence: Fence,
        *,
        status: RunStatus,
        values: str | None,
        interrupts: Row | None,
        error: tuple[str, str] | None,
        last_events: Sequence[RunEvent],
    ) -> bool:
        """Ends a run of ours: state, result, thread, last events and usage in one transaction.

        False when it was not ours to end any more: taken over, or removed.
        """
        async with self._pool.connection() as conn, conn.pipeline(), conn.transaction():
            cursor = await conn.execute(
                f"UPDATE runs SET status = %s, output = %s, error_code = %s, error_detail = %s, {_ENDED} "  # noqa: S608
                "WHERE run_id = %s AND status = 'running' AND lease_token = %s RETURNING *",
                [status, values, *(error or (None, None)), fence.run_id, fence.token],
            )
            row = await cursor.fetchone()
            if row is None:
                return False
            await conn.execute(
                "INSERT INTO run_events (run_id, seq, event, data) SELECT %s, given.* "
                "FROM unnest(%s::int[], %s::text[], %s::text[]) AS given ON CONFLICT DO NOTHING",
                [fence.run_id, *map(list, zip(*last_events, strict=True))],
            )
            await self._settle(conn, row, values=values, interrupts=interrupts)
        self._outbox.woken()
        self._bus.wake(fence.run_id)
        return True

    async def _settle(
        self, conn: Connection, row: Row, *, values: str | None = None, interrupts: Row | None = None
    ) -> None:
        """What every end has in common: usage, the thread's status and values, and who must be woken."""
        await self._outbox.run_end(conn, row, outcome=OUTCOME[row["status"]])
        await completion_write(conn, row)
        await pushes_write(conn, row)
        after = "error" if row["status"] in ("error", "timeout") else "interrupted" if interrupts else "idle"
        await conn.execute(
            "UPDATE threads SET updated_at = now(), status = CASE WHEN EXISTS (SELECT 1 FROM runs WHERE "
            "thread_id = %(t)s AND status IN ('pending', 'running')) THEN 'busy' ELSE %(s)s END, "
            '"values" = CASE WHEN %(v)s::text IS NULL THEN "values" ELSE %(v)s::jsonb END, '
            "interrupts = CASE WHEN %(v)s::text IS NULL THEN interrupts ELSE %(i)s END, "
            "remove_after = CASE WHEN ephemeral THEN now() + make_interval(secs => %(e)s) END "
            "WHERE thread_id = %(t)s",
            {
                "t": row["thread_id"], "s": after, "e": EPHEMERAL_S, "v": values, "i": Jsonb(interrupts or {}),
            },
        )  # fmt: skip
        await conn.execute(
            "SELECT pg_notify(%(c)s, %(run)s), pg_notify(%(c)s, %(work)s)",
            {
                "c": CHANNEL, "run": self._bus.message("run", row["run_id"]), "work": self._bus.message("work"),
            },
        )  # fmt: skip

    async def cancel(self, run_id: uuid.UUID, action: CancelAction) -> Row | None:
        """Asks an active run to end; its row, None when it was over already.

        A pending run, and so a sleeping one, ends here and now; a running one when its worker has seen the wish.
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "UPDATE runs SET cancel_action = %s, updated_at = now(), "
                "ended_at = CASE WHEN status = 'pending' THEN now() END, "
                "status = CASE WHEN status = 'pending' THEN 'interrupted' ELSE status END "
                "WHERE run_id = %s AND status IN ('pending', 'running') RETURNING *",
                [action, run_id],
            )
            row = await cursor.fetchone()
            if row is None:
                return None
            if row["status"] == "running":
                await self.notify(conn, "cancel", run_id)
            else:
                await self._end_event(conn, row)
                await self._settle(conn, row)
        self._bus.wake(run_id)
        return row

    async def _end_event(self, conn: Connection, row: Row) -> None:
        """Closes the event log of a run no worker executes."""
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

    async def end_lost(self, run_id: uuid.UUID, *, attempts: int) -> bool:
        """Ends a run whose lease ran out and that has lost `attempts` workers; False when it is not such a run.

        The token rises too: the last worker, should it only have been paused, writes nothing more.
        """
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                f"UPDATE runs SET status = 'error', error_code = %s, error_detail = %s, losses = losses + 1, "  # noqa: S608
                f"lease_token = lease_token + 1, {_ENDED} WHERE run_id = %s AND status = 'running' "
                "AND (lease_until < now() OR lease_until IS NULL) AND losses + 1 >= %s RETURNING *",
                [LOST_CODE, lost_detail(attempts), run_id, attempts],
            )
            row = await cursor.fetchone()
            if row is None:
                return False
            await self._end_event(conn, row)
            await self._settle(conn, row)
        self._bus.wake(run_id)
        return True

    async def delete(self, run_id: uuid.UUID) -> bool:
        """Removes a run that is over; False while it is active."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "DELETE FROM runs WHERE run_id = %s AND status NOT IN ('pending', 'running')", [run_id]
            )
            return cursor.rowcount == 1
