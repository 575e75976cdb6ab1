"""Agents that write down what they do, for tests of who executes what, and when."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any

from langchain_core.messages import AIMessage
from langgraph.config import get_config, get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import interrupt
from typing_extensions import TypedDict

from tenant_runtime.agents.context import current


class State(TypedDict, total=False):
    messages: Annotated[list[Any], add_messages]
    journal: str
    steps: int
    delay: float
    count: int
    seconds: float


def note(state: State, what: str) -> None:
    """One line; O_APPEND keeps the lines of several processes apart."""
    metadata = get_config()["metadata"]
    line = {
        "what": what, "count": state.get("count", 0), "run": metadata["run_id"], "thread": metadata["thread_id"],
        "attempt": metadata["run_attempt"], "pid": os.getpid(), "at": time.time(),
    }  # fmt: skip
    with Path(state["journal"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


async def step(state: State) -> State:
    note(state, "enter")
    get_stream_writer()({"step": state.get("count", 0) + 1})
    await asyncio.sleep(state.get("delay", 0.0))
    note(state, "leave")
    return {"count": state.get("count", 0) + 1}


def more(state: State) -> str:
    return "step" if state["count"] < state.get("steps", 3) else "say"


async def say(state: State) -> State:
    return {"messages": [AIMessage(content=f"done after {state['count']}")], "count": 0}


_steady = StateGraph(State)
_steady.add_node("step", step)
_steady.add_node("say", say)
_steady.add_edge(START, "step")
_steady.add_conditional_edges("step", more, ["step", "say"])
_steady.add_edge("say", END)
steady = _steady


async def nap(state: State) -> State:
    note(state, "lie down")
    await current().sleep(state.get("seconds", 1.0))
    note(state, "wake")
    return {"count": state.get("count", 0) + 1}


def again(state: State) -> str:
    return "nap" if state["count"] < state.get("steps", 1) else "say"


_napping = StateGraph(State)
_napping.add_node("nap", nap)
_napping.add_node("say", say)
_napping.add_edge(START, "nap")
_napping.add_conditional_edges("nap", again, ["nap", "say"])
_napping.add_edge("say", END)
napping = _napping


async def short(state: State) -> State:
    await current().sleep(0.5)
    note(state, "short")
    return {}


async def long(state: State) -> State:
    await current().sleep(3)
    note(state, "long")
    answer = interrupt({"question": "still there?"})
    return {"messages": [AIMessage(content=f"they said {answer}")]}


_both = StateGraph(State)
_both.add_node("short", short)
_both.add_node("long", long)
_both.add_edge(START, "short")
_both.add_edge(START, "long")
both = _both


async def fatal(state: State) -> State:
    """Takes its worker down with it, as a lack of memory would."""
    note(state, "enter")
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(60)
    return {}


_fatal = StateGraph(State)
_fatal.add_node("fatal", fatal)
_fatal.add_edge(START, "fatal")
fatal_graph = _fatal
