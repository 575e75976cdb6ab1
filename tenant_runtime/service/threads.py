"""Threads: create, read, search, state and history."""

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Response
from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import ThreadStatus
from tenant_runtime.engine.thread_histories import row_refresh, supersteps_write
from tenant_runtime.errors import RuntimeFault
from tenant_runtime.service.paths import Path, path_read
from tenant_runtime.service.removal import thread_remove
from tenant_runtime.service.requests import Caller, InRuntime, Owner, selected
from tenant_runtime.starting.requests import CommandIn

router = APIRouter(prefix="/threads", tags=["threads"])


class NodeUpdate(Body):
    values: dict[str, Any] | list[Any] | None = None
    command: CommandIn | None = None
    as_node: str | None = None


class Superstep(Body):
    updates: Annotated[list[NodeUpdate], Field(min_length=1, max_length=100)]


Minutes = Annotated[float, Field(gt=0, le=60 * 24 * 3660)]


class ThreadTtl(Body):
    """Minutes after the thread's last use."""

    ttl: Minutes
    strategy: Literal["delete", "keep_latest"] = "delete"


class ThreadCreate(Body):
    thread_id: uuid.UUID | None = None
    metadata: dict[str, Any] = {}
    if_exists: Literal["raise", "do_nothing"] = "raise"
    supersteps: Annotated[list[Superstep], Field(max_length=1000)] | None = None
    ttl: ThreadTtl | Minutes | None = None


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
    sort_by: Literal["thread_id", "status", "created_at", "updated_at", "state_updated_at"] = "updated_at"
    sort_order: Literal["asc", "desc"] = "desc"
    select: list[str] | None = None
    extract: Annotated[dict[str, Path], Field(max_length=10)] | None = None


class ThreadPrune(Body):
    thread_ids: Annotated[list[uuid.UUID], Field(max_length=1000)]
    strategy: Literal["delete", "keep_latest"] = "delete"


def thread_render(row: dict[str, Any]) -> dict[str, Any]:
    rendered: dict[str, Any] = plain({**row, "config": {}, "error": None})
    return rendered


@router.post("")
async def thread_create(
    body: ThreadCreate, runtime: InRuntime, caller: Caller, owner: Owner
) -> dict[str, Any]:
    """`supersteps` are written into the new thread's state as the nodes they name would have."""
    row = await runtime.threads.create(
        thread_id=body.thread_id, metadata=body.metadata, owner=caller.id, if_exists=body.if_exists,
        foreign=owner is None,
    )  # fmt: skip
    if body.supersteps:
        steps = [
            [update.model_dump(exclude_unset=True) for update in step.updates] for step in body.supersteps
        ]
        try:
            await supersteps_write(runtime.checkpoints, row, steps)
        except RuntimeFault:
            await thread_remove(runtime, row["thread_id"], owner=owner)
            raise
        await row_refresh(runtime.pool, runtime.checkpoints, row)
        row = await runtime.threads.get(row["thread_id"], owner=owner)
    if body.ttl is not None:
        ttl = body.ttl if isinstance(body.ttl, ThreadTtl) else ThreadTtl(ttl=body.ttl)
        await runtime.retention.ttl_set(row["thread_id"], minutes=ttl.ttl, strategy=ttl.strategy)
    return thread_render(row)


@router.post("/search")
async def thread_search(
    body: ThreadSearch, runtime: InRuntime, owner: Owner, response: Response
) -> list[dict[str, Any]]:
    filters = body.model_dump(include={"metadata", "values", "status", "ids"}, exclude_none=True)
    rows = await runtime.threads.search(
        filters, limit=body.limit + 1, offset=body.offset, sort_by=body.sort_by,
        descending=body.sort_order == "desc", owner=owner,
    )  # fmt: skip
    if len(rows) > body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    found = []
    for row in rows[: body.limit]:
        rendered = thread_render(row)
        shown = selected(rendered, body.select)
        if body.extract:
            shown["extracted"] = {name: path_read(rendered, path) for name, path in body.extract.items()}
        found.append(shown)
    return found


@router.post("/count")
async def thread_count(body: ThreadFilter, runtime: InRuntime, owner: Owner) -> int:
    return await runtime.threads.count(body.model_dump(exclude_none=True), owner=owner)


@router.get("/{thread_id}")
async def thread_get(thread_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> dict[str, Any]:
    return thread_render(await runtime.threads.get(thread_id, owner=owner))


@router.patch("/{thread_id}", response_model=None)
async def thread_update(
    thread_id: uuid.UUID,
    body: ThreadPatch,
    runtime: InRuntime,
    owner: Owner,
    prefer: Annotated[str | None, Header()] = None,
) -> dict[str, Any] | Response:
    """With `Prefer: return=minimal` the answer is empty."""
    row = await runtime.threads.update(thread_id, metadata=body.metadata, owner=owner)
    return Response(status_code=204) if prefer == "return=minimal" else thread_render(row)


@router.delete("/{thread_id}", status_code=204)
async def thread_delete(thread_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> None:
    await thread_remove(runtime, thread_id, owner=owner)


@router.post("/prune")
async def thread_prune(body: ThreadPrune, runtime: InRuntime, owner: Owner) -> dict[str, int]:
    """Removes threads, or all of each but its latest state. One that is not the caller's is 404 and nothing is
    pruned."""
    threads = [await runtime.threads.get(thread_id, owner=owner) for thread_id in body.thread_ids]
    for thread in threads:
        if body.strategy == "delete":
            await thread_remove(runtime, thread["thread_id"], owner=owner)
        else:
            await runtime.checkpoints.prune(thread, owner=owner)
    return {"pruned_count": len(body.thread_ids)}


@router.post("/{thread_id}/copy")
async def thread_copy(
    thread_id: uuid.UUID, runtime: InRuntime, caller: Caller, owner: Owner
) -> dict[str, Any]:
    """A thread of the caller's own with the same metadata and the same history; runs are not copied."""
    source = await runtime.threads.get(thread_id, owner=owner)
    made = await runtime.threads.create(thread_id=None, metadata=source["metadata"], owner=caller.id)
    try:
        await runtime.checkpoints.data.copy(thread_id, made["thread_id"])
    except BaseException:
        await thread_remove(runtime, made["thread_id"], owner=None)
        raise
    await row_refresh(runtime.pool, runtime.checkpoints, made)
    return thread_render(await runtime.threads.get(made["thread_id"], owner=owner))
