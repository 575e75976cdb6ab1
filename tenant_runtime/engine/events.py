"""The event log of a run: numbered rows that a stream reads, live or later, from any process."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final, NamedTuple

from psycopg import Error

from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.fence import Fence
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import EOF_EVENT, TERMINAL
from tenant_runtime.engine.writing import RunWriter
from tenant_runtime.errors import LeaseLost

#: A waiting stream looks at the rows at least this often, and tells the client it is alive.
HEARTBEAT_S: Final = 10.0
_PAGE: Final = 500
#: While nobody here follows a run, its events are gathered for this long: a statement for each would take longer
#: than a quick step does.
GATHER_S: Final = 0.02
_RETRY_S: Final = 0.5


class RunEvent(NamedTuple):
    seq: int
    event: str
    data: str


class RunLog:
    """Writes one run's events under its fence. `append` never waits; rows are written in batches as they come.

    `after` is the number of the run's last event: a successor goes on counting where a lost worker ended.
    """

    def __init__(self, writer: RunWriter, bus: Bus, fence: Fence, *, after: int = 0) -> None:
        self._writer, self._bus, self._fence = writer, bus, fence
        self._seq = after
        self._buffer: list[RunEvent] = []
        self._more = asyncio.Event()
        self._writing = asyncio.Lock()
        self._begun = False
        self._closing = asyncio.Event()

    def append(self, event: str, data: object) -> None:
        self._buffer.append(self._next(event, data))
        self._more.set()

    def _next(self, event: str, data: object) -> RunEvent:
        self._seq += 1
        return RunEvent(self._seq, event, dumps(data))

    def last(self, *events: tuple[str, object]) -> list[RunEvent]:
        """What is not written yet and the closing events, for the transaction that ends the run."""
        taken = [*self._buffer, *(self._next(name, data) for name, data in events)]
        self._buffer = []
        return taken

    async def run(self) -> None:
        """Writes until closed, or until the run is another worker's. A database that is away is tried again."""
        while True:
            await self._more.wait()
            if self._begun and not self._bus.followed(self._fence.run_id):
                with suppress(TimeoutError):
                    async with asyncio.timeout(GATHER_S):
                        await self._closing.wait()
            if self._closing.is_set():
                return
            try:
                await self.flush()
            except LeaseLost:
                return
            except (Error, OSError):
                await asyncio.sleep(_RETRY_S)

    def close(self) -> None:
        """Ends `run` after what it is writing now. Cancelling it would cost a cancelled statement for each run."""
        self._closing.set()
        self._more.set()

    async def flush(self) -> None:
        """Writes what has come, all or nothing. Raises LeaseLost when the run is another worker's."""
        async with self._writing:
            if not self._closing.is_set():
                self._more.clear()
            batch = list(self._buffer)
            if not batch:
                return
            try:
                rows = [item._asdict() for item in batch]
                rows[0]["message"] = self._bus.message("events", self._fence.run_id)
                await self._writer.write(self._fence, {"events": rows})
            except BaseException:
                self._more.set()
                raise
            del self._buffer[: len(batch)]
            self._bus.wake_followers(self._fence.run_id)
            self._begun = True


async def events_follow(
    pool: Pool, bus: Bus, run_id: uuid.UUID, *, after: int = 0
) -> AsyncGenerator[RunEvent | None]:
    """Events with a number above `after`, then those to come, until the run's last one.

    None is a heartbeat: nothing happened for a while. Ends quietly when the run is removed.
    """
    with bus.following(run_id) as news:
        while True:
            news.clear()
            async with pool.connection() as conn:
                cursor = await conn.execute("SELECT status FROM runs WHERE run_id = %s", [run_id])
                run = await cursor.fetchone()
                cursor = await conn.execute(
                    "SELECT seq, event, data FROM run_events WHERE run_id = %s AND seq > %s ORDER BY seq LIMIT %s",
                    [run_id, after, _PAGE],
                )
                rows = await cursor.fetchall()
            for row in rows:
                after = row["seq"]
                yield RunEvent(row["seq"], row["event"], row["data"])
                if row["event"] == EOF_EVENT:
                    return
            if rows:
                continue
            # The status was read before the rows: a finished run without further rows has no more to say.
            if run is None or run["status"] in TERMINAL:
                return
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()
            except TimeoutError:
                yield None
