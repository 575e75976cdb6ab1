"""What is stored of a thread: its size for its owner; giving out, taking in and erasing for the control plane."""

import uuid
from typing import Any, Self

from fastapi import APIRouter, Response
from pydantic import model_validator

from tenant_runtime.bodies import Body
from tenant_runtime.engine.states import ACTIVE
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime, Owner
from tenant_runtime.service.waiting import run_ended

router = APIRouter()


class Whose(Body):
    """Exactly one of a thread and a user."""

    thread_id: uuid.UUID | None = None
    user: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.thread_id is None) == (self.user is None):
            raise ValueError("name a thread_id or a user")
        return self


class Import(Body):
    threads: list[dict[str, Any]]


@router.get("/threads/{thread_id}/storage")
async def thread_storage(thread_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> dict[str, Any]:
    """Bytes and rows of the thread by table."""
    await runtime.threads.get(thread_id, owner=owner)
    return {"thread_id": str(thread_id), **await runtime.checkpoints.data.size(thread_id)}


async def _threads_of(runtime: Runtime, body: Whose) -> list[uuid.UUID]:
    if body.thread_id is not None:
        await runtime.threads.get(body.thread_id, owner=None)
        return [body.thread_id]
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT thread_id FROM threads WHERE owner = %s AND NOT ephemeral ORDER BY created_at, thread_id",
            [body.user],
        )
        return [row["thread_id"] for row in await cursor.fetchall()]


@router.post("/admin/export")
async def data_export(body: Whose, runtime: InRuntime, caller: Caller, response: Response) -> dict[str, Any]:
    """A thread, or all threads of a user, as documents that `import` takes and nobody else's runtime does."""
    response.headers["Cache-Control"] = "no-store"
    documents = [
        await runtime.checkpoints.data.export(thread_id, owner=None, actor=caller.id)
        for thread_id in await _threads_of(runtime, body)
    ]
    return {"threads": documents}


@router.post("/admin/import")
async def data_import(body: Import, runtime: InRuntime, caller: Caller) -> dict[str, Any]:
    """Threads as `export` gave them. Stops at the first that is refused; those before it are there."""
    taken = [str(await runtime.checkpoints.data.take_in(each, actor=caller.id)) for each in body.threads]
    return {"thread_ids": taken}


@router.post("/admin/erase")
async def data_erase(body: Whose, runtime: InRuntime, caller: Caller) -> dict[str, Any]:
    """Removes a thread, or everything of a user, for good; runs that execute are ended first. Again is safe."""
    async with runtime.pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT r.run_id FROM runs r JOIN threads t USING (thread_id) "
            "WHERE (t.owner = %s OR t.thread_id = %s) AND r.status = ANY(%s)",
            [body.user, body.thread_id, list(ACTIVE)],
        )
        active = [row["run_id"] for row in await cursor.fetchall()]
    for run_id in active:
        if await runtime.run_cancel(run_id, "interrupt") is not None:
            await run_ended(runtime, run_id)
    erased = await runtime.retention.erase(user=body.user, thread_id=body.thread_id, actor=caller.id)
    return {"erased": erased}
