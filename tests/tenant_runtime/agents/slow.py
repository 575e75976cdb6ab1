"""Agents that take their time, fail or ask, for tests."""

import asyncio
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    steps: int
    delay: float
    count: int


async def step(state: State) -> State:
    done = state.get("count", 0) + 1
    get_stream_writer()({"step": done})
    await asyncio.sleep(state.get("delay", 0.0))
    return {"count": done}


def more(state: State) -> str:
    return "step" if state["count"] < state.get("steps", 3) else "say"


async def say(state: State) -> State:
    return {"messages": [AIMessage(content=f"done after {state['count']}")], "count": 0}


_builder = StateGraph(State)
_builder.add_node("step", step)
_builder.add_node("say", say)
_builder.add_edge(START, "step")
_builder.add_conditional_edges("step", more, ["step", "say"])
_builder.add_edge("say", END)
graph = _builder


async def failing(state: dict[str, Any]) -> dict[str, Any]:
    raise ValueError("the reason")


async def forever(state: dict[str, Any]) -> dict[str, Any]:
    await asyncio.sleep(3600)
    return {}


async def ask(state: State) -> State:
    answer = interrupt({"question": "may I?"})
    return {"messages": [AIMessage(content=f"they said {answer}")]}


_asking = StateGraph(State)
_asking.add_node("ask", ask)
_asking.add_edge(START, "ask")
_asking.add_edge("ask", END)
asking = _asking.compile()
