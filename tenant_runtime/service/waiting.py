"""Answers that last as long as a run: the result when it is there, or its events as they come.

Whoever calls this has found out already that its caller may see the run.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing, suppress
from typing import Any

from fastapi.responses import StreamingResponse

from tenant_runtime.engine.events import HEARTBEAT_S, events_follow
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import TERMINAL
from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime

Row = dict[str, Any]
#: Events every stream carries, whatever modes were asked for.
_ALWAYS = frozenset({"metadata", "error", "end"})
_background: set[asyncio.Task[Any]] = set()


async def run_ended(runtime: Runtime, run_id: uuid.UUID) -> Row | None:
    """The row once the run is over, which its agent's limits see to. None when the run was removed."""
    with runtime.bus.waiting(run_id) as news:
        while True:
            news.clear()
            try:
                row = await runtime.runs.get(run_id, owner=None)
            except NotFound:
                return None
            if row["status"] in TERMINAL:
                return row
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await news.wait()


async def _result(runtime: Runtime, row: Row) -> str:
    """The run's values as JSON; `__error__` when it failed, the thread's state when it was canceled."""
    if row["error_code"]:
        return dumps({"__error__": {"error": row["error_code"], "message": row["error_detail"]}})
    if row["output"] is not None:
        return str(row["output"])
    try:
        thread = await runtime.threads.get(row["thread_id"], owner=None)
    except NotFound:
        return "{}"
    return dumps((await runtime.checkpoints.state(thread))["values"])


def cancel_later(runtime: Runtime, run_id: uuid.UUID) -> None:
    """For a run whose only reader has gone."""
    # The request's own task is being cancelled at this moment, so it cannot wait for the database itself.
    task = asyncio.create_task(runtime.run_cancel(run_id, "interrupt"))
    _background.add(task)
    task.add_done_callback(_background.discard)


def wait_response(runtime: Runtime, run: Row, *, place: str, cancel_on_disconnect: bool) -> StreamingResponse:
    """JSON that comes when the run is over; line feeds before it keep proxies from giving up."""
    run_id: uuid.UUID = run["run_id"]

    async def body() -> AsyncIterator[str]:
        over = False
        try:
            with runtime.bus.waiting(run_id) as news:
                while True:
                    news.clear()
                    try:
                        row = await runtime.runs.get(run_id, owner=None)
                    except NotFound:
                        over = True
                        yield "{}"
                        return
                    if row["status"] in TERMINAL:
                        over = True
                        yield await _result(runtime, row)
                        return
                    try:
                        async with asyncio.timeout(HEARTBEAT_S):
                            await news.wait()
                    except TimeoutError:
                        yield "\n"
        finally:
            if cancel_on_disconnect and not over:
                cancel_later(runtime, run_id)

    headers = {"Content-Location": place, "Location": f"{place}/join", "Cache-Control": "no-store"}
    return StreamingResponse(body(), media_type="application/json", headers=headers)


def _wanted_event(event: str, modes: Collection[str] | None) -> bool:
    base = event.partition("|")[0].partition("/")[0]
    if modes is None or base in _ALWAYS:
        return True
    if base == "messages":
        return ("messages" in modes) if "/" in event else ("messages-tuple" in modes)
    return base in modes


def sse_response(
    runtime: Runtime,
    run: Row,
    *,
    place: str,
    cancel_on_disconnect: bool,
    after: int = 0,
    modes: Collection[str] | None = None,
) -> StreamingResponse:
    """Server-sent events with ids, to resume from with `Last-Event-ID` at `Location`."""
    run_id: uuid.UUID = run["run_id"]

    async def body() -> AsyncIterator[str]:
        over = False
        try:
            async with aclosing(events_follow(runtime.pool, runtime.bus, run_id, after=after)) as events:
                async for item in events:
                    if item is None:
                        yield ": heartbeat\n\n"
                    elif _wanted_event(item.event, modes):
                        yield f"id: {item.seq}\nevent: {item.event}\ndata: {item.data}\n\n"
            over = True
        finally:
            if cancel_on_disconnect and not over:
                cancel_later(runtime, run_id)

    headers = {
        "Content-Location": place,
        "Location": f"{place}/stream",
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
    }
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)
