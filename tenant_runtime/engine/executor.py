"""Claims runs and executes them as tasks of this process, whose leases heart.py keeps."""

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final
from uuid import UUID

from psycopg import Error

from tenant_runtime.engine.attempts import Attempts, Held
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.fence import Fence
from tenant_runtime.engine.leases import LEASE_S, Leases
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.states import CancelAction
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import RuntimeFault

log = logging.getLogger(__name__)

#: How often a worker looks for runs whose hour has come or whose worker is gone; wake-ups say all else.
LOOK_S: Final = 0.5
SWEEP_S: Final = 2.0
Row = dict[str, Any]


class Executor:
    """`wake()` says there may be work. At most `max_runs` runs execute at once in this process."""

    def __init__(
        self,
        *,
        bus: Bus,
        runs: RunRows,
        leases: Leases,
        threads: ThreadRows,
        checkpoints: Checkpoints,
        attempts: Attempts,
        max_runs: int,
    ) -> None:
        self._bus, self._runs, self._leases = bus, runs, leases
        self._threads, self._checkpoints = threads, checkpoints
        self._attempts, self._max_runs = attempts, max_runs
        self._work = asyncio.Event()
        self._held: dict[str, Held] = {}
        self._stopping = False
        bus.on_work, bus.on_cancel = self.wake, self.cancel_local

    @property
    def running(self) -> int:
        return len(self._held)

    def wake(self) -> None:
        self._work.set()

    def cancel_local(self, run_id: str) -> None:
        """Ends a run of this process; other processes' runs are theirs to end."""
        if (held := self._held.get(run_id)) is not None:
            held.end("canceled")

    async def run(self) -> None:
        """Claims until cancelled."""
        looked = 0.0
        while True:
            self._work.clear()
            try:
                if time.monotonic() - looked >= LOOK_S:
                    looked = time.monotonic()
                    await self._take_over()
                await self._claim_all()
            except (Error, OSError):
                log.warning("claiming failed, the database does not answer")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._work.wait()

    @property
    def _free(self) -> int:
        return self._max_runs - len(self._held) if self._bus.alive and not self._stopping else 0

    async def _claim_all(self) -> None:
        while (free := self._free) > 0:
            asked = time.monotonic()
            rows = await self._leases.claim(free)
            for row in rows:
                self._begin(row, asked)
            if len(rows) < free:
                return  # no more were there; whatever comes now wakes us

    async def _take_over(self) -> None:
        if self._free > 0:
            asked = time.monotonic()
            for row in await self._leases.take_over(self._free):
                log.warning("run taken over", extra={"run_id": str(row["run_id"]), "attempt": row["attempt"]})
                self._begin(row, asked)

    def _begin(self, row: Row, asked: float) -> None:
        key, held = str(row["run_id"]), Held(Fence(row["run_id"], row["lease_token"]), asked)
        self._held[key] = held
        held.task = asyncio.create_task(self._attempts.run(row, held), name=f"run {key}")
        held.task.add_done_callback(partial(self._done, key, held))

    def _done(self, key: str, held: Held, _: asyncio.Task[None]) -> None:
        if self._held.get(key) is held:
            del self._held[key]
        self.wake()

    def held(self) -> list[Held]:
        """What runs here. Also called from the heart's thread."""
        return list(self._held.values())

    def beaten(
        self, held: list[Held], kept: Mapping[UUID, CancelAction | None] | None, *, asked: float
    ) -> None:
        """After a heartbeat (heart.py): ends what is another worker's by now, and what is to be canceled, since the
        message that said so may be lost. `kept` None: the database did not answer."""
        for item in held:
            if kept is None:
                # Nobody knows whether it is ours still; the database would refuse its writes in any case.
                if time.monotonic() - item.kept_at > LEASE_S:
                    item.end("lost")
            elif item.fence.run_id not in kept:
                item.end("lost")
            else:
                item.kept_at = asked
                if kept[item.fence.run_id] is not None:
                    item.end("canceled")

    async def sweep(self) -> None:
        """Until cancelled: ends runs that lost too many workers, and removes spent threads."""
        attempts = self._leases.shares.attempts
        while True:
            try:
                for run_id in await self._leases.beyond_attempts():
                    if await self._runs.end_lost(run_id, attempts=attempts):
                        log.error("run given up", extra={"run_id": str(run_id), "attempts": attempts})
                for thread_id in await self._threads.due_for_removal():
                    await self._checkpoints.delete_thread(thread_id)
                    await self._threads.delete(thread_id, owner=None)
            except (Error, OSError, RuntimeFault):
                log.warning("sweep failed, tried again soon")
            await asyncio.sleep(SWEEP_S)

    def claim_no_more(self) -> None:
        """Leaves what is pending to another process; what runs goes on."""
        self._stopping = True

    async def drain(self, within_s: float) -> None:
        """Takes no more work, gives running runs a moment, and gives back what is left: another worker goes on."""
        self._stopping = True
        tasks = [held.task for held in self._held.values() if held.task is not None]
        if tasks and within_s > 0:
            await asyncio.wait(tasks, timeout=within_s)
        for held in list(self._held.values()):
            held.end("drained")
        await asyncio.gather(*tasks, return_exceptions=True)
