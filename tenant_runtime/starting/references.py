"""Ids inside bodies: which thread is meant is for the path to say, and no body leads to somebody else's."""

import uuid
from typing import Any

from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime

Part = dict[str, Any] | None


async def references_check(
    runtime: Runtime,
    *,
    owner: str | None,
    thread_id: uuid.UUID | None,
    config: Part = None,
    checkpoint: Part = None,
    metadata: Part = None,
    checkpoint_id: object = None,
) -> None:
    """Raises NotFound for a thread or a checkpoint that the owner does not have.

    One of the owner's other threads is not refused: the path's is meant all the same, as SDK clients expect.
    Metadata is free text: only what looks like a thread's id counts there.
    """
    for named in _threads_named(config, checkpoint):
        try:
            other = uuid.UUID(named)
        except ValueError:
            raise NotFound(f"no thread {named[:80]!r}", code="thread_not_found") from None
        if other != thread_id:
            await runtime.threads.get(other, owner=owner)
    for named in _threads_named(metadata):
        try:
            await runtime.threads.get(uuid.UUID(named), owner=owner)
        except ValueError:
            continue
    wanted = checkpoint_id or (checkpoint or {}).get("checkpoint_id")
    if wanted and thread_id is not None:
        await _checkpoint_check(runtime, thread_id, str(wanted), owner)


def _threads_named(*parts: Part) -> set[str]:
    """Every `thread_id` at the top of a part or in its `configurable`."""
    inner = [part.get("configurable") for part in parts if part]
    places = [place for place in (*parts, *inner) if isinstance(place, dict)]
    return {str(place["thread_id"]) for place in places if place.get("thread_id")}


async def _checkpoint_check(
    runtime: Runtime, thread_id: uuid.UUID, checkpoint_id: str, owner: str | None
) -> None:
    await runtime.threads.get(thread_id, owner=owner)
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT 1 FROM checkpoints WHERE thread_id = %s AND checkpoint_id = %s LIMIT 1",
            [str(thread_id), checkpoint_id],
        )
        if await cursor.fetchone() is None:
            raise NotFound("no such checkpoint on this thread", code="checkpoint_not_found")
