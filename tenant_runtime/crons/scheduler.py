"""Begins a run for each cron that is due: once, however many replicas look, and once after an outage."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from psycopg import Error
from psycopg_pool import PoolTimeout

from tenant_runtime.crons.rows import CronRows
from tenant_runtime.crons.schedule import next_due
from tenant_runtime.database import Pool
from tenant_runtime.errors import Paused, RuntimeFault

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
Row = dict[str, Any]
#: Begins the run of a cron row under this run id; raises Conflict with `run_exists` when it has begun already.
Begin = Callable[[Row, uuid.UUID], Awaitable[None]]


def firing_id(row: Row) -> uuid.UUID:
    """The id of the run for this cron at this moment: the same, whoever begins it and however often it is tried."""
    return uuid.uuid5(row["cron_id"], row["next_run_date"].isoformat())


class Scheduler:
    """One task a process. The row's lock keeps the others away, and the run's id keeps a second try from doubling."""

    def __init__(self, pool: Pool, begin: Begin) -> None:
        self._pool, self._begin = pool, begin

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.fire_next():
                    pass
            except Paused:
                # What is due stays due: it begins once new work is taken again.
                pass
            except (Error, PoolTimeout, OSError):
                log.warning("crons were not looked at, the database does not answer")
            except Exception:
                log.exception("scheduler surprised")
            await asyncio.sleep(LOOK_S)

    async def fire_next(self) -> bool:
        """Begins the run that is due the longest; False when nothing is due. Moments missed meanwhile are one."""
        async with self._pool.connection() as conn, conn.transaction():
            row = await CronRows.due(conn)
            if row is None:
                return False
            error: str | None = None
            try:
                await self._begin(row, firing_id(row))
            except Paused:
                raise
            except RuntimeFault as fault:
                # A cron that cannot begin now may at its next moment; why it did not is kept with it.
                error = None if fault.code == "run_exists" else f"{fault.code}: {fault.detail}"
            due = next_due(row["schedule"], row["timezone"], after=row["at"], end_time=row["end_time"])
            await CronRows.fired(conn, row, next_run_date=due, error=error)
            extra = {"cron_id": str(row["cron_id"]), "error_code": error and error.partition(":")[0]}
            log.info("cron fired", extra=extra)
            return True
