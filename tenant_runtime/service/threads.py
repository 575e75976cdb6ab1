"""Threads: create, read, search, state and history."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import ThreadStatus
from tenant_runtime.errors import Invalid
from tenant_runtime.service.requests import Body, Caller, InRuntime

router = APIRouter(prefix="/threads")


class ThreadCreate(Body):
    thread_id: uuid.UUID | None = None
    metadata: dict[str, Any] = {}
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: list[Any] | None = None
    ttl: Any = None


class ThreadPatch(Body):
    metadata: dict[str, Any] = {}


class ThreadFilter(Body):
    metadata: dict[str, Any] | None = None
    values: dict[str, Any] | None = None
    status: ThreadStatus | None = None
    ids: list[uuid.UUID] | None = None


class ThreadSearch(ThreadFilter):
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0
    sort_by: Literal["thread_id", "status", "created_at", "updated_at"] = "updated_at"
    sort_order: Literal["asc", "desc"] = "desc"
    select: list[str] | None = None


class CheckpointRef(Body):
    checkpoint: dict[str, Any]
    subgraphs: bool = False


class StateUpdate(Body):
    values: dict[str, Any] | list[Any] | None = None
    as_node: str | None = None
    checkpoint: dict[str, Any] | None = None
    checkpoint_id: str | None = None


class HistoryQuery(Body):
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    before: str | dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None


def thread_render(row: dict[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = plain({**row, "config": {}, "error": None})
    return rendered


def _checkpoint_ref(value: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """SDK clients give an id, a checkpoint, or a config around one."""
    if value is None:
        return None
    if isinstance(value, str):
        return {"checkpoint_id": value}
    inner = value.get("configurable", value)
    return inner if isinstance(inner, dict) else None


@router.post("")
async def thread_create(body: ThreadCreate, runtime: InRuntime, caller: Caller) -> dict[str, Any]:
    if body.supersteps or body.ttl:
        raise Invalid("`supersteps` and `ttl` are not supported by this version", code="unsupported")
    row = await runtime.threads.create(
        thread_id=body.thread_id, metadata=body.metadata, owner=caller.id, if_exists=body.if_exists
    )
    return thread_render(row)


@router.post("/search")
async def thread_search(body: ThreadSearch, runtime: InRuntime, response: Response) -> list[dict[str, Any]]:
    filters = body.model_dump(include={"metadata", "values", "status", "ids"}, exclude_none=True)
    rows = await runtime.threads.search(
        filters, limit=body.limit + 1, offset=body.offset, sort_by=body.sort_by,
        descending=body.sort_order == "desc",
    )  # fmt: skip
    if len(rows) > body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    rendered = [thread_render(row) for row in rows[: body.limit]]
    if body.select:
        return [{name: value for name, value in row.items() if name in body.select} for row in rendered]
    return rendered


@router.post("/count")
async def thread_count(body: ThreadFilter, runtime: InRuntime) -> int:
    return await runtime.threads.count(body.model_dump(exclude_none=True))


@router.get("/{thread_id}")
async def thread_get(thread_id: uuid.UUID, runtime: InRuntime) -> dict[str, Any]:
    return thread_render(await runtime.threads.get(thread_id))


@router.patch("/{thread_id}")
async def thread_update(thread_id: uuid.UUID, body: ThreadPatch, runtime: InRuntime) -> dict[str, Any]:
    return thread_render(await runtime.threads.update(thread_id, metadata=body.metadata))


@router.delete("/{thread_id}", status_code=204)
async def thread_delete(thread_id: uuid.UUID, runtime: InRuntime) -> None:
    """Rows first: they refuse while a run is active, and a thread without rows is gone for every reader."""
    await runtime.threads.delete(thread_id)
    await runtime.checkpoints.delete_thread(thread_id)
    await runtime.short_term.forget(str(thread_id))


@router.get("/{thread_id}/state")
async def state_get(thread_id: uuid.UUID, runtime: InRuntime, subgraphs: bool = False) -> dict[str, Any]:
    return await runtime.checkpoints.state(await runtime.threads.get(thread_id), subgraphs=subgraphs)


@router.get("/{thread_id}/state/{checkpoint_id}")
async def state_get_at(
    thread_id: uuid.UUID, checkpoint_id: uuid.UUID, runtime: InRuntime, subgraphs: bool = False
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id)
    return await runtime.checkpoints.state(
        thread, checkpoint={"checkpoint_id": str(checkpoint_id)}, subgraphs=subgraphs
    )


@router.post("/{thread_id}/state/checkpoint")
async def state_get_checkpoint(
    thread_id: uuid.UUID, body: CheckpointRef, runtime: InRuntime
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id)
    return await runtime.checkpoints.state(thread, checkpoint=body.checkpoint, subgraphs=body.subgraphs)


@router.post("/{thread_id}/state")
async def state_update(thread_id: uuid.UUID, body: StateUpdate, runtime: InRuntime) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id)
    checkpoint = body.checkpoint or _checkpoint_ref(body.checkpoint_id)
    return await runtime.checkpoints.update(thread, body.values, as_node=body.as_node, checkpoint=checkpoint)


async def _history(thread_id: uuid.UUID, body: HistoryQuery, runtime: InRuntime) -> list[dict[str, Any]]:
    thread = await runtime.threads.get(thread_id)
    return await runtime.checkpoints.history(
        thread, limit=body.limit, before=_checkpoint_ref(body.before), metadata=body.metadata
    )


@router.post("/{thread_id}/history")
async def history_post(thread_id: uuid.UUID, body: HistoryQuery, runtime: InRuntime) -> list[dict[str, Any]]:
    return await _history(thread_id, body, runtime)


@router.get("/{thread_id}/history")
async def history_get(
    thread_id: uuid.UUID,
    runtime: InRuntime,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: str | None = None,
) -> list[dict[str, Any]]:
    return await _history(thread_id, HistoryQuery(limit=limit, before=before), runtime)
