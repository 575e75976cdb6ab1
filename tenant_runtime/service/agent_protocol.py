"""The Agent Protocol's names for what is there already: the same handlers under other paths."""

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.states import CancelAction, RunStatus
from tenant_runtime.service.assistants import assistant_schemas
from tenant_runtime.service.requests import InRuntime, Owner
from tenant_runtime.service.runs import run_cancel, run_delete, run_join, run_join_stream, run_render

router = APIRouter(tags=["agent protocol"])
Row = dict[str, Any]


class AgentSearch(Body):
    name: str | None = None
    metadata: Row | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0


class RunSearch(Body):
    metadata: Row | None = None
    status: RunStatus | None = None
    thread_id: uuid.UUID | None = None
    agent_id: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0


def agent_render(row: Row) -> Row:
    """An assistant as the protocol's agent; its capabilities are what every agent here can do."""
    names = ("name", "description", "metadata")
    shown = {name: row[name] for name in names}
    capabilities = {"ap.io.messages": True, "ap.io.streaming": True}
    rendered: Row = plain(shown | {"agent_id": row["assistant_id"], "capabilities": capabilities})
    return rendered


@router.post("/agents/search")
async def agent_search(body: AgentSearch, runtime: InRuntime, response: Response) -> list[Row]:
    rows = await runtime.assistants.search(graph_id=None, name=body.name, metadata=body.metadata)
    if len(rows) > body.offset + body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    return [agent_render(row) for row in rows[body.offset : body.offset + body.limit]]


@router.get("/agents/{agent_id}")
async def agent_get(agent_id: str, runtime: InRuntime) -> Row:
    return agent_render((await runtime.assistants.find(agent_id)).row)


@router.get("/agents/{agent_id}/schemas")
async def agent_schemas(agent_id: str, runtime: InRuntime) -> Row:
    found = await assistant_schemas(agent_id, runtime)
    return found | {"agent_id": (await runtime.assistants.find(agent_id)).id}


@router.post("/runs/search")
async def run_search(body: RunSearch, runtime: InRuntime, owner: Owner, response: Response) -> list[Row]:
    agent = (await runtime.assistants.find(body.agent_id)).id if body.agent_id else None
    rows = await runtime.runs.search(
        owner=owner, metadata=body.metadata, status=body.status, thread_id=body.thread_id, assistant_id=agent,
        limit=body.limit + 1, offset=body.offset,
    )  # fmt: skip
    if len(rows) > body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    return [run_render(row) for row in rows[: body.limit]]


@router.get("/runs/{run_id}")
async def run_get(run_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> Row:
    return run_render(await runtime.runs.get(run_id, owner=owner))


@router.get("/runs/{run_id}/wait")
async def run_wait(run_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> StreamingResponse:
    run = await runtime.runs.get(run_id, owner=owner)
    return await run_join(run["thread_id"], run_id, runtime, owner)


@router.get("/runs/{run_id}/stream")
async def run_stream(
    run_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    run = await runtime.runs.get(run_id, owner=owner)
    return await run_join_stream(run["thread_id"], run_id, runtime, owner, last_event_id=last_event_id)


@router.post("/runs/{run_id}/cancel")
async def run_cancel_alone(
    run_id: uuid.UUID,
    runtime: InRuntime,
    owner: Owner,
    wait: bool = False,
    action: CancelAction = "interrupt",
) -> Response:
    run = await runtime.runs.get(run_id, owner=owner)
    return await run_cancel(run["thread_id"], run_id, runtime, owner, wait, action)


@router.delete("/runs/{run_id}", status_code=204)
async def run_delete_alone(run_id: uuid.UUID, runtime: InRuntime, owner: Owner) -> None:
    run = await runtime.runs.get(run_id, owner=owner)
    await run_delete(run["thread_id"], run_id, runtime, owner)
