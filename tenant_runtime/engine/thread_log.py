"""The events of all runs of a thread as one log: run after run, as they execute, live or later."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final, NamedTuple

from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.events import HEARTBEAT_S, RunEvent, events_follow

#: A run begun through another process is seen after this long at the latest; one of our own at once.
LOOK_S: Final = 1.0


class ThreadEvent(NamedTuple):
    run_seq: int
    run_id: uuid.UUID
    event: RunEvent


async def _next_run(pool: Pool, thread_id: uuid.UUID, after: int) -> dict[str, Any] | None:
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT run_id, seq FROM runs WHERE thread_id = %s AND seq > %s ORDER BY seq LIMIT 1",
            [thread_id, after],
        )
        return await cursor.fetchone()


async def newest_run(pool: Pool, thread_id: uuid.UUID, *, over: bool | None = None) -> int:
    """The number of the thread's newest run, 0 without any; with `over`, of the newest that is over."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT coalesce(max(seq), 0) AS n FROM runs WHERE thread_id = %s "
            "AND (%s::boolean IS NULL OR status NOT IN ('pending', 'running'))",
            [thread_id, over],
        )
        row = await cursor.fetchone()
    return int(row["n"]) if row else 0


async def thread_follow(
    pool: Pool, bus: Bus, thread_id: uuid.UUID, *, run: int, after: int = 0
) -> AsyncGenerator[ThreadEvent | None]:
    """Events of the run numbered `run` above `after`, and of all later runs; goes on until it is closed.

    None is a heartbeat: nothing happened for a while.
    """
    last, quiet = run - 1, 0.0
    with bus.waiting(thread_id) as news:
        while True:
            news.clear()
            row = await _next_run(pool, thread_id, last)
            if row is None:
                try:
                    async with asyncio.timeout(LOOK_S):
                        await news.wait()
                except TimeoutError:
                    quiet += LOOK_S
                    if quiet >= HEARTBEAT_S:
                        quiet = 0.0
                        yield None
                continue
            quiet = 0.0
            start = after if row["seq"] == run else 0
            async with aclosing(events_follow(pool, bus, row["run_id"], after=start)) as events:
                async for event in events:
                    yield None if event is None else ThreadEvent(row["seq"], row["run_id"], event)
            last = row["seq"]
