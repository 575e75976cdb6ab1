"""An agent that says something long at each step, in words that hardly compress."""

import random
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

LETTERS = "abcdefghijklmnopqrstuvwxyz "


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    until: int
    count: int


async def say(state: State) -> State:
    count = state.get("count", 0) + 1
    text = "".join(random.Random(count).choices(LETTERS, k=1950))  # noqa: S311 - no secret
    return {"count": count, "messages": [AIMessage(content=text)]}


def more(state: State) -> str:
    return "say" if state["count"] < state.get("until", 1) else END


_builder = StateGraph(State)
_builder.add_node("say", say)
_builder.add_edge(START, "say")
_builder.add_conditional_edges("say", more, ["say", END])
graph = _builder
