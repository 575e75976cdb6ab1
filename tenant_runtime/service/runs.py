"""Runs on threads and without: create, wait, stream, join, cancel."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from tenant_runtime.access.keys import Principal
from tenant_runtime.engine.runs import RunWanted
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import CancelAction, RunStatus, Strategy
from tenant_runtime.errors import Invalid, NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.assistants import agent_find
from tenant_runtime.service.requests import Body, Caller, InRuntime
from tenant_runtime.service.waiting import run_ended, sse_response, wait_response

router = APIRouter()

StreamMode = Literal[
    "values", "updates", "messages", "messages-tuple", "events", "custom", "debug", "tasks", "checkpoints"
]


class CommandIn(Body):
    update: dict[str, Any] | list[Any] | None = None
    resume: Any = None
    goto: Any = None


class RunRequest(Body):
    assistant_id: str
    input: Any = None
    command: CommandIn | None = None
    config: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}
    stream_mode: StreamMode | list[StreamMode] = "values"
    stream_subgraphs: bool = False
    interrupt_before: Literal["*"] | list[str] | None = None
    interrupt_after: Literal["*"] | list[str] | None = None
    checkpoint: dict[str, Any] | None = None
    checkpoint_id: str | None = None
    multitask_strategy: Strategy = "enqueue"
    if_not_exists: Literal["create", "reject"] = "reject"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"
    after_seconds: Annotated[float, Field(ge=0, le=30 * 86400)] = 0
    webhook: str | None = None


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


def _wanted(runtime: Runtime, body: RunRequest, caller: Principal) -> RunWanted:
    agent = agent_find(runtime, body.assistant_id)
    if body.webhook:
        raise Invalid("`webhook` is not supported by this version", code="unsupported")
    modes = body.stream_mode if isinstance(body.stream_mode, list) else [body.stream_mode]
    kwargs = body.model_dump(
        include={"input", "config", "context", "stream_subgraphs", "interrupt_before", "interrupt_after"}
    )
    kwargs["command"] = body.command.model_dump(exclude_unset=True) if body.command else None
    kwargs["stream_mode"] = modes
    kwargs["checkpoint_id"] = body.checkpoint_id or (body.checkpoint or {}).get("checkpoint_id")
    return RunWanted(
        agent=agent.entry.name, assistant_id=agent.assistant_id, principal=caller.id, kwargs=kwargs,
        metadata=body.metadata, strategy=body.multitask_strategy, delay_s=body.after_seconds,
    )  # fmt: skip


async def _create(
    runtime: Runtime, body: RunRequest, caller: Principal, thread_id: uuid.UUID | None
) -> dict[str, Any]:
    """The pending run, handed to the executor. Runs its strategy displaces are asked to end."""
    wanted = _wanted(runtime, body, caller)
    if thread_id is None and body.on_completion == "keep":
        thread_id = (await runtime.threads.create(thread_id=None, metadata={}, owner=caller.id))["thread_id"]
    elif thread_id is not None and body.if_not_exists == "create":
        await runtime.threads.create(
            thread_id=thread_id, metadata={}, owner=caller.id, if_exists="do_nothing"
        )
    run, displaced = await runtime.runs.create(wanted, thread_id=thread_id)
    for run_id in displaced:
        await runtime.run_cancel(run_id, "rollback" if body.multitask_strategy == "rollback" else "interrupt")
    runtime.executor.wake()
    return run


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
    run = await _create(runtime, body, caller, thread_id)
    response.headers["Content-Location"] = _place(run)
    return run_render(run)


@router.post("/runs/batch")
async def run_create_batch(
    body: list[RunRequest], runtime: InRuntime, caller: Caller
) -> list[dict[str, Any]]:
    return [run_render(await _create(runtime, item, caller, None)) for item in body]


@router.post("/runs/wait")
@router.post("/threads/{thread_id}/runs/wait")
async def run_wait(
    body: RunRequest, runtime: InRuntime, caller: Caller, thread_id: uuid.UUID | None = None
) -> StreamingResponse:
    run = await _create(runtime, body, caller, thread_id)
    return wait_response(runtime, run, place=_place(run), cancel_on_disconnect=body.on_disconnect == "cancel")


@router.post("/runs/stream")
@router.post("/threads/{thread_id}/runs/stream")
async def run_stream(
    body: RunRequest, runtime: InRuntime, caller: Caller, thread_id: uuid.UUID | None = None
) -> StreamingResponse:
    run = await _create(runtime, body, caller, thread_id)
    return sse_response(runtime, run, place=_place(run), cancel_on_disconnect=body.on_disconnect == "cancel")


@router.post("/runs/cancel", status_code=204)
async def run_cancel_many(body: CancelMany, runtime: InRuntime, action: CancelAction = "interrupt") -> None:
    if not (body.thread_id or body.run_ids or body.status):
        raise Invalid("name a thread, runs, or a status")
    rows = await runtime.runs.active(
        thread_id=body.thread_id, run_ids=body.run_ids, status=body.status or "all"
    )
    for row in rows:
        await runtime.run_cancel(row["run_id"], action)


@router.get("/threads/{thread_id}/runs")
async def run_list(
    thread_id: uuid.UUID,
    runtime: InRuntime,
    response: Response,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    offset: Annotated[int, Query(ge=0)] = 0,
    status: RunStatus | None = None,
) -> list[dict[str, Any]]:
    await runtime.threads.get(thread_id)
    rows = await runtime.runs.of_thread(thread_id, limit=limit + 1, offset=offset, status=status)
    if len(rows) > limit:
        response.headers["X-Pagination-Next"] = str(offset + limit)
    return [run_render(row) for row in rows[:limit]]


@router.get("/threads/{thread_id}/runs/{run_id}")
async def run_get(thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime) -> dict[str, Any]:
    return run_render(await runtime.runs.get(run_id, thread_id))


@router.get("/threads/{thread_id}/runs/{run_id}/join")
async def run_join(thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime) -> StreamingResponse:
    run = await runtime.runs.get(run_id, thread_id)
    return wait_response(runtime, run, place=_place(run), cancel_on_disconnect=False)


@router.get("/threads/{thread_id}/runs/{run_id}/stream")
async def run_join_stream(
    thread_id: uuid.UUID,
    run_id: uuid.UUID,
    runtime: InRuntime,
    stream_mode: Annotated[list[StreamMode | Literal[""]] | None, Query()] = None,
    cancel_on_disconnect: bool = False,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """From `Last-Event-ID` on, or from the run's first event."""
    run = await runtime.runs.get(run_id, thread_id)
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
    wait: bool = False,
    action: CancelAction = "interrupt",
) -> Response:
    run = await runtime.runs.get(run_id, thread_id)
    if await runtime.run_cancel(run_id, action) is None:
        raise NotFound(f"run {run_id} is over: {run['status']}", code="run_over")
    if wait:
        await run_ended(runtime, run_id)
    return Response(status_code=204 if wait else 202)


@router.delete("/threads/{thread_id}/runs/{run_id}", status_code=204)
async def run_delete(thread_id: uuid.UUID, run_id: uuid.UUID, runtime: InRuntime) -> None:
    """An active run is canceled first: its row must not vanish under the task that executes it."""
    await runtime.runs.get(run_id, thread_id)
    if await runtime.run_cancel(run_id, "interrupt") is not None:
        await run_ended(runtime, run_id)
    await runtime.runs.delete(run_id)
