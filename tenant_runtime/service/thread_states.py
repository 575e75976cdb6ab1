"""State of threads: as it is, as it was, and changed as if a node had."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.engine.thread_histories import row_refresh
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import InRuntime, Owner, selected
from tenant_runtime.starting.references import references_check

router = APIRouter(prefix="/threads", tags=["threads"])
Select = Annotated[list[str] | None, Query()]


class CheckpointRef(Body):
    checkpoint: dict[str, Any]
    subgraphs: bool = False
    select: list[str] | None = None


class StateUpdate(Body):
    values: dict[str, Any] | list[Any] | None = None
    as_node: str | None = None
    checkpoint: dict[str, Any] | None = None
    checkpoint_id: str | None = None


class HistoryQuery(Body):
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    before: str | dict[str, Any] | None = None
    select: list[str] | None = None
    metadata: dict[str, Any] | None = None
    checkpoint: dict[str, Any] | None = None


def _checkpoint_ref(value: str | dict[str, Any] | None) -> dict[str, Any] | None:
    """SDK clients give an id, a checkpoint, or a config around one."""
    if value is None:
        return None
    if isinstance(value, str):
        return {"checkpoint_id": value}
    inner = value.get("configurable", value)
    return inner if isinstance(inner, dict) else None


@router.get("/{thread_id}/state")
async def state_get(
    thread_id: uuid.UUID, runtime: InRuntime, owner: Owner, subgraphs: bool = False, select: Select = None
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id, owner=owner)
    return selected(await runtime.checkpoints.state(thread, subgraphs=subgraphs), select)


@router.get("/{thread_id}/state/{checkpoint_id}")
async def state_get_at(
    thread_id: uuid.UUID,
    checkpoint_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    subgraphs: bool = False,
    select: Select = None,
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id, owner=owner)
    state = await runtime.checkpoints.state(
        thread, checkpoint={"checkpoint_id": str(checkpoint_id)}, subgraphs=subgraphs
    )
    return selected(state, select)


@router.post("/{thread_id}/state/checkpoint")
async def state_get_checkpoint(
    thread_id: uuid.UUID, body: CheckpointRef, runtime: InRuntime, owner: Owner
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id, owner=owner)
    await references_check(runtime, owner=owner, thread_id=thread_id, checkpoint=body.checkpoint)
    state = await runtime.checkpoints.state(thread, checkpoint=body.checkpoint, subgraphs=body.subgraphs)
    return selected(state, body.select)


@router.post("/{thread_id}/state")
async def state_update(
    thread_id: uuid.UUID, body: StateUpdate, runtime: InRuntime, owner: Owner
) -> dict[str, Any]:
    thread = await runtime.threads.get(thread_id, owner=owner)
    checkpoint = body.checkpoint or _checkpoint_ref(body.checkpoint_id)
    await references_check(runtime, owner=owner, thread_id=thread_id, checkpoint=checkpoint)
    made = await runtime.checkpoints.update(thread, body.values, as_node=body.as_node, checkpoint=checkpoint)
    await row_refresh(runtime.pool, runtime.checkpoints, thread)
    return made


async def _history(
    thread_id: uuid.UUID, body: HistoryQuery, runtime: Runtime, owner: str | None
) -> list[dict[str, Any]]:
    thread = await runtime.threads.get(thread_id, owner=owner)
    before = _checkpoint_ref(body.before)
    for named in (before, body.checkpoint):
        await references_check(runtime, owner=owner, thread_id=thread_id, checkpoint=named)
    states = await runtime.checkpoints.history(
        thread, limit=body.limit, before=before, metadata=body.metadata
    )
    return [selected(state, body.select) for state in states]


@router.post("/{thread_id}/history")
async def history_post(
    thread_id: uuid.UUID, body: HistoryQuery, runtime: InRuntime, owner: Owner
) -> list[dict[str, Any]]:
    return await _history(thread_id, body, runtime, owner)


@router.get("/{thread_id}/history")
async def history_get(
    thread_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
    before: str | None = None,
) -> list[dict[str, Any]]:
    return await _history(thread_id, HistoryQuery(limit=limit, before=before), runtime, owner)
