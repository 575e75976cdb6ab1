"""Assistants: each agent of the manifest is one. The manifest is the truth, so they are read-only."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field, PydanticUserError

from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.engine.serial import plain
from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Body, InRuntime

router = APIRouter(prefix="/assistants")
#: Assistants come with the deployed version; SDK clients want a time all the same.
_EPOCH = "2026-01-01T00:00:00+00:00"


class AssistantSearch(Body):
    metadata: dict[str, Any] | None = None
    graph_id: str | None = None
    name: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 10
    offset: Annotated[int, Field(ge=0)] = 0


def assistant_render(agent: LoadedAgent) -> dict[str, Any]:
    return {
        "assistant_id": agent.assistant_id,
        "graph_id": agent.entry.name,
        "name": agent.entry.name,
        "description": agent.entry.description or None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system", "agent_version": agent.entry.version},
        "version": 1,
        "created_at": _EPOCH,
        "updated_at": _EPOCH,
    }


def _schema(make: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
    """The schema, or None for a state whose types have none; SDK clients expect null then."""
    try:
        return make()
    except (PydanticUserError, TypeError):
        return None


def agent_find(runtime: Runtime, reference: str) -> LoadedAgent:
    """By assistant id or by the agent's name."""
    agent = runtime.agents.find(reference)
    if agent is None:
        raise NotFound(f"no assistant {reference[:80]!r}", code="assistant_not_found")
    return agent


def _matching(runtime: Runtime, body: AssistantSearch) -> list[dict[str, Any]]:
    rows = [assistant_render(agent) for agent in runtime.agents.all()]
    wanted = (body.metadata or {}).items()
    return [
        row
        for row in rows
        if (body.graph_id is None or row["graph_id"] == body.graph_id)
        and (body.name is None or body.name.lower() in row["name"])
        and wanted <= row["metadata"].items()
    ]


@router.post("/search")
async def assistant_search(
    body: AssistantSearch, runtime: InRuntime, response: Response
) -> list[dict[str, Any]]:
    rows = _matching(runtime, body)
    if len(rows) > body.offset + body.limit:
        response.headers["X-Pagination-Next"] = str(body.offset + body.limit)
    return rows[body.offset : body.offset + body.limit]


@router.post("/count")
async def assistant_count(body: AssistantSearch, runtime: InRuntime) -> int:
    return len(_matching(runtime, body))


@router.get("/{assistant_id}")
async def assistant_get(assistant_id: str, runtime: InRuntime) -> dict[str, Any]:
    return assistant_render(agent_find(runtime, assistant_id))


@router.post("/{assistant_id}/versions")
async def assistant_versions(assistant_id: str, runtime: InRuntime) -> list[dict[str, Any]]:
    return [assistant_render(agent_find(runtime, assistant_id))]


@router.get("/{assistant_id}/graph")
async def assistant_graph(assistant_id: str, runtime: InRuntime, xray: str = "false") -> Any:
    depth: bool | int = int(xray) if xray.isdecimal() else xray.lower() == "true"
    graph = runtime.checkpoints.graph(agent_find(runtime, assistant_id))
    return plain((await graph.aget_graph(xray=depth)).to_json())


@router.get("/{assistant_id}/schemas")
async def assistant_schemas(assistant_id: str, runtime: InRuntime) -> dict[str, Any]:
    agent = agent_find(runtime, assistant_id)
    graph = runtime.checkpoints.graph(agent)
    return {
        "graph_id": agent.entry.name,
        "input_schema": _schema(graph.get_input_jsonschema),
        "output_schema": _schema(graph.get_output_jsonschema),
        "state_schema": _schema(graph.get_output_jsonschema),
        "config_schema": _schema(graph.get_config_jsonschema),
        "context_schema": _schema(graph.get_context_jsonschema),
    }


@router.get("/{assistant_id}/subgraphs")
@router.get("/{assistant_id}/subgraphs/{namespace}")
async def assistant_subgraphs(
    assistant_id: str, runtime: InRuntime, namespace: str | None = None, recurse: bool = False
) -> dict[str, Any]:
    graph = runtime.checkpoints.graph(agent_find(runtime, assistant_id))
    return {
        name: {
            "graph_id": name,
            "input_schema": _schema(part.get_input_jsonschema),
            "output_schema": _schema(part.get_output_jsonschema),
        }
        async for name, part in graph.aget_subgraphs(namespace=namespace, recurse=recurse)
    }
