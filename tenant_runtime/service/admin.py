"""`/admin/*`: for the control plane and administrators (the guard sees to that)."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, Field, field_validator

from tenant_runtime.access.audit import audit_read
from tenant_runtime.access.keys import ApiKey
from tenant_runtime.access.principals import Role, user_id_valid
from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.service.requests import Caller, InRuntime

router = APIRouter(prefix="/admin")


class KeyIn(Body):
    """`user` is whose rows the key sees and makes: give two keys of one person the same. Without it, the key is a
    user of its own. `expires_at` is a moment with its time zone."""

    name: Annotated[str, Field(max_length=100)] = ""
    role: Role = "user"
    user: str | None = None
    expires_at: AwareDatetime | None = None

    @field_validator("user")
    @classmethod
    def _nobody_elses(cls, value: str | None) -> str | None:
        if value is not None and not user_id_valid(value):
            raise ValueError(
                "wanted up to 200 letters, digits and any of . _ : @ + -, and no id of the runtime's own"
            )
        return value

    @field_validator("expires_at")
    @classmethod
    def _to_come(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= datetime.now(UTC):
            raise ValueError("wanted a moment that is still to come")
        return value


def _render(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role,
        "user": key.user_id,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }


@router.post("/keys", status_code=201)
async def key_create(
    runtime: InRuntime, caller: Caller, response: Response, body: KeyIn | None = None
) -> dict[str, Any]:
    """The key's token is in this answer and nowhere else."""
    wanted = body or KeyIn()
    key, token = await runtime.keys.create(
        name=wanted.name, actor=caller.id, role=wanted.role, user_id=wanted.user, expires_at=wanted.expires_at
    )
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


@router.get("/audit")
async def audit_list(
    runtime: InRuntime,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """What was done, newest first. `next` is the `before` of the next page; null at the end."""
    rows = await audit_read(runtime.pool, limit=limit + 1, before=before)
    more = len(rows) > limit
    return {"results": plain(rows[:limit]), "next": rows[limit - 1]["seq"] if more else None}
