"""Agents with parts to look at: a subgraph, a configuration, a model that speaks in pieces, many no-op nodes."""

from typing import Annotated, Any

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    said: str
    notes: list[str]


class Context(TypedDict, total=False):
    tone: str


async def inner(state: State) -> State:
    get_stream_writer()({"name": "progress", "payload": {"half": True}})
    return {"said": "inner"}


_child = StateGraph(State)
_child.add_node("inner", inner)
_child.add_edge(START, "inner")
_child.add_edge("inner", END)


async def outer(state: State) -> State:
    return {"messages": [AIMessage(content=f"outer after {state['said']}")]}


_nested = StateGraph(State)
_nested.add_node("child", _child.compile())
_nested.add_node("outer", outer)
_nested.add_edge(START, "child")
_nested.add_edge("child", "outer")
_nested.add_edge("outer", END)
nested = _nested


async def tell(state: State, runtime: Runtime[Context]) -> State:
    configurable = get_config()["configurable"]
    tone = (runtime.context or {}).get("tone", "no tone")
    return {"said": f"{tone}, {configurable.get('model', 'no model')}"}


_configured = StateGraph(State, context_schema=Context)
_configured.add_node("tell", tell)
_configured.add_edge(START, "tell")
_configured.add_edge("tell", END)
configured = _configured


async def speak(state: State) -> State:
    model = GenericFakeChatModel(messages=iter([AIMessage(content="one two three", id="m-1")]))
    return {"messages": [await model.ainvoke("go")]}


_talking = StateGraph(State)
_talking.add_node("speak", speak)
_talking.add_edge(START, "speak")
_talking.add_edge("speak", END)
talking = _talking


async def approve(state: State) -> Command[Any]:
    answer = interrupt({"approve": state.get("said", "it")})
    return Command(update={"notes": [f"answered {answer}"]}, goto="last" if answer == "go" else END)


async def last(state: State) -> State:
    return {"said": "done", "notes": [*state.get("notes", []), "last"]}


_approving = StateGraph(State)
_approving.add_node("approve", approve, destinations=("last", END))
_approving.add_node("last", last)
_approving.add_edge(START, "approve")
_approving.add_edge("last", END)
approving = _approving
