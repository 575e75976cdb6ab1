"""What is kept how long: threads by their time to live, logs of runs that are over. And what is erased at once."""

import asyncio
import logging
import uuid
from dataclasses import dataclass
from typing import Any, Final, Literal

from psycopg import Error

from tenant_runtime.access.audit import audit_write
from tenant_runtime.database import Pool
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import RuntimeFault
from tenant_runtime.memory.short_term import ShortTermMemory

log = logging.getLogger(__name__)

Strategy = Literal["delete", "keep_latest"]
SWEEP_S: Final = 5.0
BATCH: Final = 100
#: Further tables whose rows belong to a user, by the column `owner`; those this version does not have are left out.
OWNED: Final = ("crons", "store_items")


@dataclass(frozen=True)
class Kept:
    """`thread_minutes` None: threads live on. `log_s`: how long after its end a run's events and output are kept."""

    thread_minutes: float | None
    log_s: int


class Retention:
    def __init__(
        self,
        pool: Pool,
        threads: ThreadRows,
        checkpoints: Checkpoints,
        short_term: ShortTermMemory,
        kept: Kept,
    ) -> None:
        self._pool, self._threads, self._checkpoints = pool, threads, checkpoints
        self._short_term, self._kept = short_term, kept

    async def run(self) -> None:
        """Until cancelled; every replica may, since each removal is a row's own."""
        while True:
            try:
                more = await self.sweep()
            except (Error, OSError):
                log.warning("retention failed, tried again soon")
                more = False
            await asyncio.sleep(0.1 if more else SWEEP_S)

    async def sweep(self) -> bool:
        """One bounded step; whether there may be more to do."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT thread_id, coalesce(ttl_strategy, 'delete') AS strategy FROM threads "
                "WHERE NOT ephemeral AND status <> 'busy' "
                "AND updated_at < now() - make_interval(secs => 60 * coalesce(ttl_minutes, %s::float8)) "
                "AND (ttl_strategy IS DISTINCT FROM 'keep_latest' OR pruned_at IS NULL OR pruned_at < updated_at) "
                "LIMIT %s",
                [self._kept.thread_minutes, BATCH],
            )
            due = await cursor.fetchall()
        for row in due:
            try:
                if row["strategy"] == "keep_latest":
                    thread = await self._threads.get(row["thread_id"], owner=None)
                    await self._checkpoints.prune(thread, owner=None)
                else:
                    await self.remove(row["thread_id"])
            except RuntimeFault as fault:
                log.warning(
                    "a thread outlives its time",
                    extra={"thread_id": str(row["thread_id"]), "why": fault.code},
                )
        return len(due) == BATCH or await self._logs_remove() == BATCH

    async def _logs_remove(self) -> int:
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "UPDATE runs SET output = NULL, log_removed_at = now() WHERE run_id IN (SELECT run_id FROM runs "
                "WHERE ended_at < now() - make_interval(secs => %s) AND log_removed_at IS NULL LIMIT %s "
                "FOR UPDATE SKIP LOCKED) RETURNING run_id",
                [self._kept.log_s, BATCH],
            )
            runs = [row["run_id"] for row in await cursor.fetchall()]
            await conn.execute("DELETE FROM run_events WHERE run_id = ANY(%s)", [runs])
        return len(runs)

    async def ttl_set(self, thread_id: uuid.UUID, *, minutes: float, strategy: Strategy) -> None:
        async with self._pool.connection() as conn:
            await conn.execute(
                "UPDATE threads SET ttl_minutes = %s, ttl_strategy = %s WHERE thread_id = %s",
                [minutes, strategy, thread_id],
            )

    async def remove(self, thread_id: uuid.UUID) -> None:
        """A thread with every row of it; Conflict while a run executes on it."""
        await self._threads.delete(thread_id, owner=None)
        await self._checkpoints.delete_thread(thread_id)
        await self._short_term.forget(str(thread_id))

    async def erase(self, *, user: str | None, thread_id: uuid.UUID | None, actor: str) -> dict[str, Any]:
        """Removes a thread, or all that belongs to a user; what was removed, by table. Conflict while a run executes.

        Usage that is not delivered yet stays: it names the user and is owed. So does the audit.
        """
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT thread_id FROM threads WHERE owner = %s OR thread_id = %s", [user, thread_id]
            )
            threads = [row["thread_id"] for row in await cursor.fetchall()]
        for each in threads:
            await self.remove(each)
        gone: dict[str, Any] = {"threads": len(threads)}
        async with self._pool.connection() as conn, conn.transaction():
            if user is not None:
                for table in OWNED:
                    found = await (await conn.execute("SELECT to_regclass(%s) AS t", [table])).fetchone()
                    if found is not None and found["t"] is not None:
                        cursor = await conn.execute(f"DELETE FROM {table} WHERE owner = %s", [user])  # noqa: S608
                        gone[table] = cursor.rowcount
            await audit_write(
                conn, actor=actor, action="data.erased", object_=f"user/{user}" if user else f"thread/{thread_id}",
                **gone,
            )  # fmt: skip
        return gone
