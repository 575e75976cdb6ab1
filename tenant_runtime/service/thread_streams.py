"""What happens on a thread, run after run: as plain server-sent events, and in the thread protocol with commands."""

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.thread_log import newest_run, thread_follow
from tenant_runtime.errors import NotFound
from tenant_runtime.protocol.channels import Event, Filter
from tenant_runtime.protocol.translation import Translation, run_of
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime

router = APIRouter(prefix="/threads", tags=["threads"])
ThreadStreamMode = Literal["run_modes", "lifecycle", "state_update"]
#: Events of a run's log by what a thread's stream calls them; the rest are the run's own modes.
_LIFECYCLE: Final = frozenset({"metadata", "error", "end"})
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventsWanted(Body):
    channels: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=50)]
    namespaces: Annotated[list[list[str]], Field(max_length=100)] | None = None
    depth: Annotated[int | None, Field(ge=0)] = None
    since: Annotated[int | None, Field(ge=0)] = None

    def filter(self) -> Filter:
        spaces = None if self.namespaces is None else tuple(tuple(each) for each in self.namespaces)
        return Filter(frozenset(self.channels), spaces, self.depth)


def _place_of(last_event_id: str | None) -> tuple[int, int] | None:
    """Run number and event number of an id as this stream gives it; None where it is not one."""
    run, _, seq = (last_event_id or "").partition("-")
    return (int(run), int(seq)) if run.isdecimal() and seq.isdecimal() else None


def _joined(event: str, modes: set[ThreadStreamMode]) -> bool:
    if event in _LIFECYCLE:
        return bool(modes & {"run_modes", "lifecycle"})
    return "run_modes" in modes or ("state_update" in modes and event == "values")


async def _still_there(runtime: Runtime, thread_id: uuid.UUID, owner: str | None) -> bool:
    try:
        await runtime.threads.get(thread_id, owner=owner)
    except NotFound:
        return False
    return True


@router.get("/{thread_id}/stream")
async def thread_join_stream(
    thread_id: uuid.UUID,
    runtime: InRuntime,
    caller: Caller,
    stream_mode: Annotated[list[ThreadStreamMode | Literal[""]] | None, Query()] = None,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """Events of the active run, if there is one, and of all that come, until the client goes. After a
    `Last-Event-ID` it goes on there; `-` begins with the thread's first run."""
    owner = owner_filter(caller)
    await runtime.threads.get(thread_id, owner=owner)
    modes: set[ThreadStreamMode] = {mode for mode in stream_mode or [] if mode} or {"run_modes"}
    if last_event_id == "-":
        run, after = 0, 0
    else:
        over = await newest_run(runtime.pool, thread_id, over=True)
        run, after = _place_of(last_event_id) or (over + 1, 0)

    async def body() -> AsyncIterator[str]:
        follow = thread_follow(runtime.pool, runtime.bus, thread_id, run=run, after=after)
        async with aclosing(follow) as events:
            async for item in events:
                if item is None:
                    yield ": heartbeat\n\n"
                    if not await _still_there(runtime, thread_id, owner):
                        return
                elif _joined(item.event.event, modes):
                    number = f"{item.run_seq}-{item.event.seq}"
                    yield f"id: {number}\nevent: {item.event.event}\ndata: {item.event.data}\n\n"

    return StreamingResponse(body(), media_type="text/event-stream", headers=_HEADERS)


async def protocol_events(
    runtime: Runtime, thread_id: uuid.UUID, wanted: EventsWanted, *, owner: str | None
) -> AsyncIterator[Event | None]:
    """What passes the filter after `since`, else from the thread's newest run on; None is a heartbeat."""
    passes, since = wanted.filter(), wanted.since or 0
    first = run_of(since) if since else await newest_run(runtime.pool, thread_id)
    translation: Translation | None = None
    run_seq = -1
    # From the run's beginning, whatever was seen: what an event turns into depends on those before it.
    async with aclosing(thread_follow(runtime.pool, runtime.bus, thread_id, run=max(first, 1))) as events:
        async for item in events:
            if item is None:
                yield None
                if not await _still_there(runtime, thread_id, owner):
                    return
                continue
            if translation is None or item.run_seq != run_seq:
                run_seq = item.run_seq
                translation = Translation(run_id=str(item.run_id), run_seq=run_seq)
            made = translation.feed(
                item.event.seq, item.event.event, json.loads(item.event.data), at_ms=int(time.time() * 1000)
            )
            for event in made:
                if event["seq"] > since and passes.passes(event):
                    yield event


@router.post("/{thread_id}/stream/events")
async def thread_events(
    thread_id: uuid.UUID, body: EventsWanted, runtime: InRuntime, caller: Caller
) -> StreamingResponse:
    """Server-sent protocol events of the thread until the client goes."""
    owner = owner_filter(caller)
    await runtime.threads.get(thread_id, owner=owner)

    async def lines() -> AsyncIterator[str]:
        async for event in protocol_events(runtime, thread_id, body, owner=owner):
            if event is None:
                yield ": heartbeat\n\n"
            else:
                yield f"id: {event['event_id']}\nevent: {event['method']}\ndata: {dumps(event)}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream", headers=_HEADERS)
