"""Agents of the adapters pydantic_ai and callable, for tests. The offline model chooses tools by their words."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent, DeferredToolRequests, ModelRetry, RunContext

from tenant_runtime.agents.context import AgentContext

helper: Agent[AgentContext, Any] = Agent(
    deps_type=AgentContext, output_type=[str, DeferredToolRequests], instructions="Help, briefly."
)


@helper.tool
async def weigh(ctx: RunContext[AgentContext], query: str) -> dict[str, Any]:
    """Weighs a parcel on the scales."""
    if "feath" in query:  # the offline model speaks in stems
        raise ModelRetry("too light for these scales")
    return {"grams": 1250, "thread": ctx.deps.thread_id}


@helper.tool_plain(requires_approval=True)
async def delete_records(query: str) -> str:
    """Deletes records for ever."""
    return f"calculated: deleted {query}"


_tried: set[str] = set()


@helper.tool(metadata={"read_only": True})
async def survey(ctx: RunContext[AgentContext], query: str) -> str:
    """Surveys the land."""
    if ctx.deps.thread_id not in _tried:
        _tried.add(ctx.deps.thread_id)
        raise OSError("the theodolite fell over")
    return "calculated: flat"


async def shout(payload: dict[str, Any]) -> dict[str, Any]:
    if "fail" in payload:
        raise ValueError("cannot shout that")
    return {"loud": str(payload["text"]).upper()}


async def count(payload: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    for number in range(payload["to"]):
        yield {"number": number}
