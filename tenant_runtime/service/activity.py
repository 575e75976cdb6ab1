"""`/admin/runs`: the course of everybody's runs for those who watch over them. Messages and arguments are not in it."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query

from tenant_runtime.engine.activity import run_course, runs_newest
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import RunStatus
from tenant_runtime.service.requests import InRuntime

router = APIRouter(prefix="/admin")


@router.get("/runs")
async def activity_list(
    runtime: InRuntime,
    status: RunStatus | None = None,
    agent: Annotated[str | None, Query(max_length=100)] = None,
    before: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Newest first. `next` is the `before` of the next page; null at the end."""
    rows = await runs_newest(runtime.pool, status=status, agent=agent, before=before, limit=limit + 1)
    more = len(rows) > limit
    return {"results": plain(rows[:limit]), "next": rows[limit - 1]["seq"] if more else None}


@router.get("/runs/{traced_id}")
async def activity_read(traced_id: uuid.UUID, runtime: InRuntime) -> dict[str, Any]:
    """One run with its calls, in order, and the moments its attempts began."""
    course: dict[str, Any] = plain(await run_course(runtime.pool, traced_id))
    return course
