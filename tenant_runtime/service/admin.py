"""`/admin/*`: for the control plane, with the admin key only (the guard sees to that)."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from tenant_runtime.access.keys import ApiKey
from tenant_runtime.service.requests import Body, Caller, InRuntime

router = APIRouter(prefix="/admin")


class KeyIn(Body):
    name: Annotated[str, Field(max_length=100)] = ""


def _render(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": key.prefix,
        "created_at": key.created_at.isoformat(),
    }


@router.post("/keys", status_code=201)
async def key_create(
    runtime: InRuntime, caller: Caller, response: Response, body: KeyIn | None = None
) -> dict[str, Any]:
    """The key's token is in this answer and nowhere else."""
    key, token = await runtime.keys.create(name=body.name if body else "", actor=caller.id)
    response.headers["Cache-Control"] = "no-store"
    return _render(key) | {"api_key": token}


@router.get("/keys")
async def key_list(runtime: InRuntime) -> dict[str, Any]:
    return {"results": [_render(key) for key in await runtime.keys.all()]}


@router.delete("/keys/{key_id}", status_code=204)
async def key_revoke(key_id: uuid.UUID, runtime: InRuntime, caller: Caller) -> None:
    await runtime.keys.revoke(key_id, actor=caller.id)


class PauseIn(Body):
    reason: Annotated[str, Field(min_length=1, max_length=1000)]
    hint: Annotated[str, Field(max_length=1000)] = ""


@router.post("/pause")
async def runs_pause(runtime: InRuntime, caller: Caller, body: PauseIn) -> dict[str, Any]:
    """Refuses new runs with `reason` from now on, after restarts too. What was accepted before is finished, and
    everything can still be read. Doing it again is safe."""
    paused = await runtime.pause.pause(reason=body.reason, hint=body.hint, actor=caller.id)
    return {"paused": True, "reason": paused.reason, "hint": paused.hint, "since": paused.since.isoformat()}


@router.post("/resume")
async def runs_resume(runtime: InRuntime, caller: Caller) -> dict[str, Any]:
    """Takes new runs again; `changed` says whether they had been refused."""
    return {"paused": False, "changed": await runtime.pause.resume(actor=caller.id)}


@router.post("/usage/flush")
async def usage_flush(runtime: InRuntime) -> dict[str, Any]:
    """Pushes the outbox now; `pending` is what could not be delivered."""
    counts = await runtime.pusher.flush()
    return {**counts, "last_error": runtime.pusher.last_error if counts["pending"] else None}
