"""Crons on threads and without: made, changed, found; `crons/scheduler.py` begins their runs."""

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.bodies import Body
from tenant_runtime.crons.rows import CronRows, CronWanted
from tenant_runtime.crons.schedule import next_due, schedule_check
from tenant_runtime.engine.serial import plain
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime, selected
from tenant_runtime.starting.references import references_check
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

router = APIRouter(tags=["crons"])
Row = dict[str, Any]
#: Members of a cron that are its own; the rest of the body is the run it begins with.
_OWN: Final = frozenset(
    {"schedule", "timezone", "end_time", "enabled", "on_run_completed", "metadata", "assistant_id"}
)
SortBy = Literal[
    "cron_id", "assistant_id", "thread_id", "created_at", "updated_at", "next_run_date", "end_time"
]


class CronIn(RunRequest):
    schedule: Annotated[str, Field(min_length=1, max_length=200)]
    timezone: Annotated[str | None, Field(max_length=60)] = None
    end_time: datetime | None = None
    enabled: bool = True
    on_run_completed: Literal["delete", "keep"] | None = None


class CronPatch(RunRequest):
    assistant_id: str = ""
    schedule: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    timezone: Annotated[str | None, Field(max_length=60)] = None
    end_time: datetime | None = None
    enabled: bool | None = None
    on_run_completed: Literal["delete", "keep"] | None = None


class CronFilter(Body):
    assistant_id: str | None = None
    thread_id: uuid.UUID | None = None
    metadata: Row | None = None


class CronSearch(CronFilter):
    enabled: bool | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0
    sort_by: SortBy = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    select: list[str] | None = None


def cron_render(row: Row) -> Row:
    hidden = ("owner", "role")
    shown = {name: value for name, value in row.items() if name not in hidden}
    rendered: Row = plain(shown | {"user_id": row["owner"]})
    return rendered


def _utc(moment: datetime | None) -> datetime | None:
    """A moment without a zone is meant as UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


async def _create(
    runtime: Runtime, body: CronIn, caller: Principal, *, thread_id: uuid.UUID | None, now: datetime
) -> Row:
    assistant = await runtime.assistants.find(body.assistant_id)
    schedule_check(body.schedule, body.timezone)
    if body.webhook:
        runtime.webhooks.check(body.webhook)
    owner = owner_filter(caller)
    if thread_id is not None:
        await runtime.threads.get(thread_id, owner=owner)
    await references_check(
        runtime, owner=owner, thread_id=thread_id, config=body.config, checkpoint=body.checkpoint,
        metadata=body.metadata, checkpoint_id=body.checkpoint_id,
    )  # fmt: skip
    end_time = _utc(body.end_time)
    wanted = CronWanted(
        assistant_id=assistant.id, thread_id=thread_id, schedule=body.schedule, timezone=body.timezone,
        end_time=end_time, enabled=body.enabled, on_run_completed=body.on_run_completed,
        payload=body.model_dump(mode="json", exclude=set(_OWN), exclude_unset=True), metadata=body.metadata,
        next_run_date=next_due(body.schedule, body.timezone, after=now, end_time=end_time),
    )  # fmt: skip
    return cron_render(await CronRows(runtime.pool).create(wanted, maker=caller))


@router.post("/runs/crons")
async def cron_create(body: CronIn, runtime: InRuntime, caller: Caller) -> Row:
    """Each time on a new thread, gone after the run unless `on_run_completed` is `keep`."""
    return await _create(runtime, body, caller, thread_id=None, now=datetime.now(UTC))


@router.post("/threads/{thread_id}/runs/crons")
async def cron_create_on_thread(
    thread_id: uuid.UUID, body: CronIn, runtime: InRuntime, caller: Caller
) -> Row:
    return await _create(runtime, body, caller, thread_id=thread_id, now=datetime.now(UTC))


@router.post("/runs/crons/search")
async def cron_search(body: CronSearch, runtime: InRuntime, caller: Caller, response: Response) -> list[Row]:
    filters = await _filters(runtime, body)
    if body.enabled is not None:
        filters["enabled"] = body.enabled
    rows = await CronRows(runtime.pool).search(
        filters, owner=owner_filter(caller, "crons"), limit=body.limit + 1, offset=body.offset,
        sort_by=body.sort_by, descending=body.sort_order == "desc",
    )  # fmt: skip
    if len(rows) > body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    return [selected(cron_render(row), body.select) for row in rows[: body.limit]]


@router.post("/runs/crons/count")
async def cron_count(body: CronFilter, runtime: InRuntime, caller: Caller) -> int:
    filters = await _filters(runtime, body)
    return await CronRows(runtime.pool).count(filters, owner=owner_filter(caller, "crons"))


async def _filters(runtime: Runtime, body: CronFilter) -> Row:
    filters = body.model_dump(include={"assistant_id", "thread_id", "metadata"}, exclude_none=True)
    if "assistant_id" in filters:
        # An agent's name stands for its assistant here as everywhere.
        filters["assistant_id"] = (await runtime.assistants.find(filters["assistant_id"])).id
    return filters


@router.get("/runs/crons/{cron_id}")
async def cron_get(cron_id: uuid.UUID, runtime: InRuntime, caller: Caller) -> Row:
    return cron_render(await CronRows(runtime.pool).get(cron_id, owner=owner_filter(caller, "crons")))


@router.patch("/runs/crons/{cron_id}")
async def cron_update(cron_id: uuid.UUID, body: CronPatch, runtime: InRuntime, caller: Caller) -> Row:
    """What is not named stays. A changed schedule counts from now; so does switching it on again."""
    rows, owner = CronRows(runtime.pool), owner_filter(caller, "crons")
    row = await rows.get(cron_id, owner=owner)
    given = body.model_fields_set
    changes: Row = {
        name: getattr(body, name)
        for name in ("schedule", "timezone", "enabled", "on_run_completed", "metadata")
        if name in given and getattr(body, name) is not None
    }
    if "end_time" in given:
        changes["end_time"] = _utc(body.end_time)
    payload = body.model_dump(mode="json", exclude=set(_OWN), exclude_unset=True)
    if payload:
        changes["payload"] = row["payload"] | payload
    if body.webhook:
        runtime.webhooks.check(body.webhook)
    after = row | changes
    schedule_check(after["schedule"], after["timezone"])
    if {"schedule", "timezone", "end_time", "enabled"} & changes.keys():
        changes["next_run_date"] = next_due(
            after["schedule"], after["timezone"], after=datetime.now(UTC), end_time=after["end_time"]
        )
    return cron_render(await rows.update(cron_id, changes, owner=owner) if changes else row)


@router.delete("/runs/crons/{cron_id}", status_code=204)
async def cron_delete(cron_id: uuid.UUID, runtime: InRuntime, caller: Caller) -> None:
    await CronRows(runtime.pool).delete(cron_id, owner=owner_filter(caller, "crons"))


async def cron_begin(runtime: Runtime, row: Row, run_id: uuid.UUID) -> None:
    """For the scheduler: the run of a cron that is due, on its thread or on one of its own, as its maker."""
    kept = row["thread_id"] is None and row["on_run_completed"] == "keep"
    # A second try must find the thread of the first.
    thread_id = uuid.uuid5(run_id, "thread") if kept else row["thread_id"]
    request = RunRequest.model_validate(
        row["payload"]
        | {
            "assistant_id": row["assistant_id"],
            "metadata": row["metadata"] | {"cron_id": str(row["cron_id"])},
            "if_not_exists": "create" if kept else "reject",
            "on_completion": "delete",
        }
    )
    maker = Principal(row["owner"], row["role"])
    await run_start(
        runtime, principal=maker, assistant_ref=row["assistant_id"], thread_id=thread_id, request=request,
        run_id=run_id,
    )  # fmt: skip
