"""Agents whose tools have effects outside, on a service that counts them; for crash tests."""

import os
import time
from typing import Any

import httpx
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from tenant_runtime.agents.context import current
from tenant_runtime.errors import AgentFault, ToolFailed
from tenant_runtime.gateway.tools import Arguments, Tool, ToolContext
from tests.tenant_runtime.agents import steady


class PostArguments(Arguments):
    what: str


async def _post(arguments: PostArguments, context: ToolContext) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=10) as http:
        answer = await http.post(
            os.environ["EFFECTS_URL"],
            json={"what": arguments.what},
            headers={"Idempotency-Key": context.idempotency_key},
        )
    return dict(answer.raise_for_status().json())


async def _refuse(arguments: PostArguments, _: ToolContext) -> dict[str, Any]:
    raise ToolFailed("the other side says no", code="refused")


POST = Tool("post", "Has an effect.", PostArguments, _post)
POST_IDEMPOTENT = Tool(
    "post_idempotent", "Has an effect once for a key.", PostArguments, _post, idempotent=True
)
LOOK = Tool("look", "Has none.", PostArguments, _post, read_only=True)
SLOW_POST = Tool(
    "slow_post", "Has an effect, and may not say so in time.", PostArguments, _post, timeout_s=0.4
)
REFUSES = Tool("refuses", "Says that it did nothing.", PostArguments, _refuse)


class State(TypedDict, total=False):
    tool: str
    label: str
    steps: int
    count: int
    journal: str
    said: list[str]
    answers: list[Any]


async def step(state: State) -> State:
    """One model call and one effect a step, so that each can be counted."""
    count = state.get("count", 0)
    if "journal" in state:
        steady.note({"journal": state["journal"], "count": count}, "enter")
    said = await current().chat([{"role": "user", "content": f"Step {count} of {state.get('label')}?"}])
    try:
        answer = await current().tool(
            state.get("tool", "post"), {"what": f"{state.get('label', 'effect')} {count}"}
        )
    except AgentFault as fault:
        answer = {"fault": fault.code}
    return {
        "count": count + 1,
        "said": [*state.get("said", []), said.text],
        "answers": [*state.get("answers", []), answer],
    }


def more(state: State) -> str:
    return "step" if state["count"] < state.get("steps", 1) else END


_builder = StateGraph(State)
_builder.add_node("step", step)
_builder.add_edge(START, "step")
_builder.add_conditional_edges("step", more, ["step", END])
graph = _builder


async def clock_step(state: State) -> State:
    """Asks for something else each time it is run."""
    answer = await current().tool("post", {"what": f"at {time.time_ns()}"})
    return {"answers": [answer]}


_clocked = StateGraph(State)
_clocked.add_node("step", clock_step)
_clocked.add_edge(START, "step")
_clocked.add_edge("step", END)
clocked = _clocked
