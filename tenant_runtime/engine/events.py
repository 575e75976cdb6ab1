"""The event log of a run: numbered rows that a stream reads, live or later, from any process."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import CHANNEL, Bus
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import EOF_EVENT, TERMINAL

#: A waiting stream looks at the rows at least this often, and tells the client it is alive.
HEARTBEAT_S: Final = 10.0
_PAGE: Final = 500


class RunEvent(NamedTuple):
    seq: int
    event: str
    data: str


class RunLog:
    """Writes one run's events. `append` never waits; rows are written in batches as they come."""

    def __init__(self, pool: Pool, bus: Bus, run_id: uuid.UUID) -> None:
        self._pool, self._bus, self._run_id = pool, bus, run_id
        self._seq = 0
        self._buffer: list[RunEvent] = []
        self._more = asyncio.Event()
        self._writing = asyncio.Lock()

    def append(self, event: str, data: object) -> None:
        self._buffer.append(self._next(event, data))
        self._more.set()

    def _next(self, event: str, data: object) -> RunEvent:
        self._seq += 1
        return RunEvent(self._seq, event, dumps(data))

    def last(self, *events: tuple[str, object]) -> list[tuple[int, str, str]]:
        """Numbers the closing events, for the transaction that ends the run."""
        return [tuple(self._next(name, data)) for name, data in events]  # type: ignore[misc]

    async def run(self) -> None:
        """Writes until cancelled; flush() afterwards."""
        while True:
            await self._more.wait()
            await self.flush()

    async def flush(self) -> None:
        async with self._writing:
            batch, self._buffer = self._buffer, []
            self._more.clear()
            if not batch:
                return
            async with self._pool.connection() as conn:
                await conn.execute(
                    "WITH written AS (INSERT INTO run_events (run_id, seq, event, data) "
                    "SELECT %s, * FROM unnest(%s::int[], %s::text[], %s::text[])) SELECT pg_notify(%s, %s)",
                    [
                        self._run_id, [item.seq for item in batch], [item.event for item in batch],
                        [item.data for item in batch], CHANNEL, self._bus.message("run", self._run_id),
                    ],
                )  # fmt: skip
            self._bus.wake(self._run_id)


async def events_follow(
    pool: Pool, bus: Bus, run_id: uuid.UUID, *, after: int = 0
) -> AsyncGenerator[RunEvent | None]:
    """Events with a number above `after`, then those to come, until the run's last one.

    None is a heartbeat: nothing happened for a while. Ends quietly when the run is removed.
    """
    with bus.waiting(run_id) as news:
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
