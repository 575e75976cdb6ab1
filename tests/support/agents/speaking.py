"""Agents to talk to: one speaks in pieces, one takes its time, one asks back, one fails with its user's words."""

import asyncio
from typing import Annotated, Any

from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    heard: str


async def listen(state: State) -> State:
    return {"heard": str(state["messages"][-1].content)}


async def speak(state: State) -> State:
    model = FakeListChatModel(
        responses=[f"You said {state['heard']}, {len(state['messages'])} so far"], sleep=0.03
    )
    return {"messages": [await model.ainvoke("go")]}


async def sleep(state: State) -> State:
    await asyncio.sleep(60)
    return {"messages": [AIMessage(content="awake")]}


async def ask(state: State) -> State:
    offered = [{"colour": "red"}, {"colour": "..."}]
    answer = interrupt({"question": "Which colour?", "resume_with": offered})
    answer = answer["colour"] if isinstance(answer, dict) else answer
    return {"messages": [AIMessage(content=f"{answer} it is")]}


async def broken(state: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(f"cannot do {state['messages'][-1].content}")


def _line(**nodes: Any) -> Any:
    builder = StateGraph(State)
    last = START
    for name, node in nodes.items():
        builder.add_node(name, node)
        builder.add_edge(last, name)
        last = name
    builder.add_edge(last, END)
    return builder.compile()


speaking = _line(listen=listen, speak=speak)
sleepy = _line(sleep=sleep)
asking = _line(ask=ask)
