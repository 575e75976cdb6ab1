"""Adapter `callable`: a plain async function becomes a graph of one node.

`async def agent(state)` gets the thread's state and answers an update of it. `async def agent(payload)`, with that
name for its parameter, gets the run's `input` alone, as it is posted to /invocations, and what it answers is `output`.
An async generator's items are streamed as they come, and their list is `output`.
"""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict

from tenant_runtime.agents.adapters.adapted import Adapted
from tenant_runtime.agents.manifest import AgentEntry

#: The parameter that says "the payload alone".
PAYLOAD: Final = "payload"


class CallableState(TypedDict, total=False):
    """State of a plain function's thread."""

    messages: Annotated[list[Any], add_messages]
    input: dict[str, Any]
    output: Any


def _update(answer: Any, *, wants_payload: bool) -> dict[str, Any]:
    """The function's answer as an update: a dict of the state's own keys is one, anything else is `output`."""
    if (
        wants_payload
        or not isinstance(answer, dict)
        or not answer.keys() <= CallableState.__annotations__.keys()
    ):
        return {"output": answer}
    return answer


def _node(found: Callable[[Any], Any], *, wants_payload: bool) -> Any:
    async def run(state: CallableState) -> dict[str, Any]:
        given = state.get("input") if wants_payload else state
        if inspect.isasyncgenfunction(found):
            write, items = get_stream_writer(), []
            async for item in found(given):
                write(item)
                items.append(item)
            return {"output": items}
        return _update(await found(given), wants_payload=wants_payload)

    return run


def adapt(found: Any, _: AgentEntry) -> Adapted:
    if not (inspect.iscoroutinefunction(found) or inspect.isasyncgenfunction(found)):
        raise TypeError("a callable agent is an async function of one argument, the state or the payload")
    parameters = [
        name
        for name, parameter in inspect.signature(found).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    ]
    if len(parameters) != 1:
        raise TypeError(
            f"a callable agent takes one argument, the state or the payload, not {len(parameters)}"
        )
    builder = StateGraph(CallableState)
    builder.add_node("run", _node(found, wants_payload=parameters == [PAYLOAD]))
    builder.add_edge(START, "run")
    builder.add_edge("run", END)
    # Not described channel by channel: this state is ours, and a release that adds to it keeps it readable.
    return Adapted(
        lambda checkpointer: builder.compile(checkpointer=checkpointer),
        {"adapter": "callable/1"},
        streams=inspect.isasyncgenfunction(found),
    )
