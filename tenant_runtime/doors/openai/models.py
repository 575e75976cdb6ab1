"""`GET /v1/models`: the agents, by their names."""

from typing import Any, Final

from fastapi import APIRouter

from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.errors import NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import InRuntime

router = APIRouter(prefix="/v1/models")
#: Agents come with the deployed version; clients want a time all the same (2026-01-01).
_CREATED: Final = 1_767_225_600


def model_agent(runtime: Runtime, name: str) -> LoadedAgent:
    """The agent a request's `model` names."""
    agent = runtime.agents.find(name)
    if agent is None:
        raise NotFound(f"the model {name[:80]!r} does not exist", code="model_not_found")
    return agent


def _render(agent: LoadedAgent) -> dict[str, Any]:
    return {"id": agent.entry.name, "object": "model", "created": _CREATED, "owned_by": "freehold"}


@router.get("")
async def model_list(runtime: InRuntime) -> dict[str, Any]:
    return {"object": "list", "data": [_render(agent) for agent in runtime.agents.all()]}


@router.get("/{model}")
async def model_get(model: str, runtime: InRuntime) -> dict[str, Any]:
    return _render(model_agent(runtime, model))
