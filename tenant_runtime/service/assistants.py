"""Assistants: each agent of the manifest is one, and others are made over them in versions."""

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field, PydanticUserError

from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.assistants.rows import AssistantParts
from tenant_runtime.bodies import Body
from tenant_runtime.engine.serial import plain
from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.removal import thread_remove
from tenant_runtime.service.requests import Caller, InRuntime, Owner, selected

router = APIRouter(prefix="/assistants", tags=["assistants"])
Row = dict[str, Any]
SortBy = Literal["assistant_id", "graph_id", "name", "created_at", "updated_at"]


class AssistantIn(Body):
    graph_id: str
    assistant_id: uuid.UUID | None = None
    name: Annotated[str | None, Field(max_length=200)] = None
    description: Annotated[str | None, Field(max_length=4000)] = None
    config: Row = {}
    context: Row = {}
    metadata: Row = {}
    if_exists: Literal["raise", "do_nothing"] = "raise"


class AssistantPatch(Body):
    graph_id: str | None = None
    name: Annotated[str | None, Field(max_length=200)] = None
    description: Annotated[str | None, Field(max_length=4000)] = None
    config: Row | None = None
    context: Row | None = None
    metadata: Row | None = None


class AssistantFilter(Body):
    metadata: Row | None = None
    graph_id: str | None = None
    name: str | None = None


class AssistantSearch(AssistantFilter):
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0
    sort_by: SortBy = "created_at"
    sort_order: Literal["asc", "desc"] = "desc"
    select: list[str] | None = None


class VersionSearch(Body):
    metadata: Row | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0


class VersionChoice(Body):
    version: Annotated[int, Field(ge=1)]


def agent_find(runtime: Runtime, reference: str) -> LoadedAgent:
    """An agent of the manifest by its name or its assistant's id; NotFound for anything else."""
    agent = runtime.agents.find(reference)
    if agent is None:
        raise NotFound(f"no assistant {reference[:80]!r}", code="assistant_not_found")
    return agent


def _schema(make: Callable[[], Row | None]) -> Row | None:
    """The schema, or None for a state whose types have none; SDK clients expect null then."""
    try:
        return make()
    except (PydanticUserError, TypeError):
        return None


@router.post("")
async def assistant_create(body: AssistantIn, runtime: InRuntime, caller: Caller) -> Row:
    parts = AssistantParts(
        agent=body.graph_id, name=body.name or body.graph_id, description=body.description, config=body.config,
        context=body.context, metadata=body.metadata,
    )  # fmt: skip
    row = await runtime.assistants.create(
        assistant_id=body.assistant_id, owner=caller.id, parts=parts, if_exists=body.if_exists
    )
    rendered: Row = plain(row)
    return rendered


@router.post("/search")
async def assistant_search(body: AssistantSearch, runtime: InRuntime, response: Response) -> list[Row]:
    rows = await runtime.assistants.search(
        graph_id=body.graph_id, name=body.name, metadata=body.metadata, sort_by=body.sort_by,
        descending=body.sort_order == "desc",
    )  # fmt: skip
    if len(rows) > body.offset + body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    response.headers["X-Pagination-Total"] = str(len(rows))
    return [selected(plain(row), body.select) for row in rows[body.offset : body.offset + body.limit]]


@router.post("/count")
async def assistant_count(body: AssistantFilter, runtime: InRuntime) -> int:
    found = await runtime.assistants.search(graph_id=body.graph_id, name=body.name, metadata=body.metadata)
    return len(found)


@router.get("/{assistant_id}")
async def assistant_get(assistant_id: str, runtime: InRuntime) -> Row:
    rendered: Row = plain((await runtime.assistants.find(assistant_id)).row)
    return rendered


@router.patch("/{assistant_id}")
async def assistant_update(assistant_id: str, body: AssistantPatch, runtime: InRuntime) -> Row:
    changes = {
        name: value for name, value in body.model_dump(exclude_unset=True).items() if value is not None
    }
    if "graph_id" in changes:
        changes["agent"] = changes.pop("graph_id")
    rendered: Row = plain(await runtime.assistants.update(assistant_id, changes))
    return rendered


@router.delete("/{assistant_id}", status_code=204)
async def assistant_delete(
    assistant_id: str, runtime: InRuntime, owner: Owner, delete_threads: bool = False
) -> None:
    """Its threads stay, unless they are to go too: those the caller sees whose last run was the assistant's."""
    gone = await runtime.assistants.delete(assistant_id)
    if delete_threads:
        filters = {"metadata": {"assistant_id": gone}}
        while found := await runtime.threads.search(
            filters, limit=100, offset=0, sort_by="thread_id", descending=False, owner=owner
        ):
            for thread in found:
                await thread_remove(runtime, thread["thread_id"], owner=owner)


@router.post("/{assistant_id}/versions")
async def assistant_versions(assistant_id: str, runtime: InRuntime, body: VersionSearch) -> list[Row]:
    rows = await runtime.assistants.versions(
        assistant_id, metadata=body.metadata, limit=body.limit, offset=body.offset
    )
    return [plain(row) for row in rows]


@router.post("/{assistant_id}/latest")
async def assistant_set_latest(assistant_id: str, body: VersionChoice, runtime: InRuntime) -> Row:
    rendered: Row = plain(await runtime.assistants.set_latest(assistant_id, body.version))
    return rendered


@router.get("/{assistant_id}/graph")
async def assistant_graph(assistant_id: str, runtime: InRuntime, xray: str = "false") -> Any:
    depth: bool | int = int(xray) if xray.isdecimal() else xray.lower() == "true"
    graph = runtime.checkpoints.graph((await runtime.assistants.find(assistant_id)).agent)
    return plain((await graph.aget_graph(xray=depth)).to_json())


@router.get("/{assistant_id}/schemas")
async def assistant_schemas(assistant_id: str, runtime: InRuntime) -> Row:
    agent = (await runtime.assistants.find(assistant_id)).agent
    graph = runtime.checkpoints.graph(agent)
    return {"graph_id": agent.entry.name} | schemas_of(graph)


def schemas_of(graph: Any) -> Row:
    return {
        "input_schema": _schema(graph.get_input_jsonschema),
        "output_schema": _schema(graph.get_output_jsonschema),
        "state_schema": _schema(graph.get_output_jsonschema),
        "config_schema": _schema(graph.get_config_jsonschema),
        "context_schema": _schema(graph.get_context_jsonschema),
    }


@router.get("/{assistant_id}/subgraphs")
@router.get("/{assistant_id}/subgraphs/{namespace}")
async def assistant_subgraphs(
    assistant_id: str,
    runtime: InRuntime,
    namespace: str | None = None,
    recurse: Annotated[bool, Query()] = False,
) -> Row:
    graph = runtime.checkpoints.graph((await runtime.assistants.find(assistant_id)).agent)
    return {
        name: {"graph_id": name} | schemas_of(part)
        async for name, part in graph.aget_subgraphs(namespace=namespace, recurse=recurse)
    }
