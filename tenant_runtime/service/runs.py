"""Runs on threads and without: create, wait, stream, join, cancel."""

import json
import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from tenant_runtime.access.principals import Principal
from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import CancelAction, RunStatus
from tenant_runtime.errors import Invalid, NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime, Owner, selected
from tenant_runtime.service.waiting import run_ended, sse_response, wait_response
from tenant_runtime.starting.requests import RunRequest, StreamMode
from tenant_runtime.starting.runs import run_start

router = APIRouter(tags=["runs"])


class CancelMany(Body):
    thread_id: uuid.UUID | None = None
    run_ids: list[uuid.UUID] | None = None
    status: Literal["pending", "running", "all"] | None = None


def run_render(row: dict[str, Any]) -> dict[str, Any]:
    names = (
        "run_id", "thread_id", "assistant_id", "created_at", "updated_at", "status", "metadata", "multitask_strategy",
    )  # fmt: skip
    rendered: dict[str, Any] = plain({name: row[name] for name in names})
    if row["error_code"]:
        rendered["error"] = {"code": row["error_code"], "detail": row["error_detail"]}
    return rendered


async def _start(
    runtime: Runtime, body: RunRequest, caller: Principal, thread_id: uuid.UUID | None
) -> dict[str, Any]:
    return await run_start(
        runtime, principal=caller, assistant_ref=body.assistant_id, thread_id=thread_id, request=body
    )


def _place(run: dict[str, Any]) -> str:
    """Relative on purpose: an SDK client sends its key to where Location points."""
    return f"/threads/{run['thread_id']}/runs/{run['run_id']}"


@router.post("/runs")
@router.post("/threads/{thread_id}/runs")
async def run_create(
    body: RunRequest,
    runtime: InRuntime,
    caller: Caller,
    response: Response,
    thread_id: uuid.UUID | None = None,
) -> dict[str, Any]:
    run = await _start(runtime, body, caller, thread_id)
    response.headers["Content-Location"] = _place(run)
    return run_render(run)


@router.post("/runs/batch")
async def run_create_batch(
    body: list[RunRequest], runtime: InRuntime, caller: Caller
) -> list[dict[str, Any]]:
    return [run_render(await _start(runtime, item, caller, None)) for item in body]


@router.post("/runs/wait")
@router.post("/threads/{thread_id}/runs/wait")
async def run_wait(
    body: RunRequest, runtime: InRuntime, caller: Caller, thread_id: uuid.UUID | None = None
) -> StreamingResponse:
    run = await _start(runtime, body, caller, thread_id)
    return wait_response(runtime, run, place=_place(run), cancel_on_disconnect=body.on_disconnect == "cancel")


@router.post("/runs/stream")
@router.post("/threads/{thread_id}/runs/stream")
async def run_stream(
    body: RunRequest, runtime: InRuntime, caller: Caller, thread_id: uuid.UUID | None = None
) -> StreamingResponse:
    run = await _start(runtime, body, caller, thread_id)
    return sse_response(runtime, run, place=_place(run), cancel_on_disconnect=body.on_disconnect == "cancel")


@router.post("/runs/cancel", status_code=204)
async def run_cancel_many(
    body: CancelMany, runtime: InRuntime, owner: Owner, action: CancelAction = "interrupt"
) -> None:
    if not (body.thread_id or body.run_ids or body.status):
        raise Invalid("name a thread, runs, or a status")
    if body.thread_id is not None:
        await runtime.threads.get(body.thread_id, owner=owner)
    if body.run_ids and await runtime.runs.foreign(body.run_ids, owner=owner):
        raise NotFound("no such run among these", code="run_not_found")
    rows = await runtime.runs.active(
        thread_id=body.thread_id, run_ids=body.run_ids, status=body.status or "all", owner=owner
    )
    for row in rows:
        await runtime.run_cancel(row["run_id"], action)


@router.get("/threads/{thread_id}/runs")
async def run_list(
    thread_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
    status: RunStatus | None = None,
    select: Annotated[list[str] | None, Query()] = None,
) -> list[dict[str, Any]]:
    await runtime.threads.get(thread_id, owner=owner)
    rows = await runtime.runs.of_thread(thread_id, limit=limit + 1, offset=offset, status=status)
    if len(rows) > limit:
        response.headers["X-Pagination-Next"] = str(offset + limit)
    shown = [run_render(row) for row in rows[:limit]]
    if select and "kwargs" in select:
        shown = [{**one, "kwargs": json.loads(row["kwargs"])} for one, row in zip(shown, rows, strict=False)]
    return [selected(row, select) for row in shown]


@router.get("/threads/{thread_id}/runs/{run_id}")
async def run_get(
    thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime, owner: Owner
) -> dict[str, Any]:
    return run_render(await runtime.runs.get(run_id, thread_id, owner=owner))


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def run_join(
    thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime, owner: Owner
) -> StreamingResponse:
    run = await runtime.runs.get(run_id, thread_id, owner=owner)
    return wait_response(runtime, run, place=_place(run), cancel_on_disconnect=False)


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def run_join_stream(
    thread_id: uuid.UUID,
    run_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    stream_mode: Annotated[list[StreamMode | Literal[""]] | None, Query()] = None,
    cancel_on_disconnect: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """From `Last-Event-ID` on, or from the run's first event."""
    run = await runtime.runs.get(run_id, thread_id, owner=owner)
    # SDK clients send an empty mode for "all of them".
    modes = [mode for mode in stream_mode or [] if mode] or None
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
    return sse_response(
        runtime,
        run,
        place=_place(run),
        after=after,
        modes=modes,
        cancel_on_disconnect=cancel_on_disconnect,
    )


@router.post("/threads/{thread_id}/runs/{run_id}/cancel")
async def run_cancel(
    thread_id: uuid.UUID,
    run_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    wait: bool = False,
    action: CancelAction = "interrupt",
) -> Response:
    run = await runtime.runs.get(run_id, thread_id, owner=owner)
    if await runtime.run_cancel(run_id, action) is None:
        raise NotFound(f"run {run_id} is over: {run['status']}", code="run_over")
    if wait:
        await run_ended(runtime, run_id)
    return Response(status_code=204 if wait else 202)


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def run_delete(thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> None:
    """An active run is canceled first: its row must not vanish under the task that executes it."""
    await runtime.runs.get(run_id, thread_id, owner=owner)
    if await runtime.run_cancel(run_id, "interrupt") is not None:
        await run_ended(runtime, run_id)
    await runtime.runs.delete(run_id)
