"""Adapter `langgraph`: a StateGraph, a compiled graph, or a function without arguments that makes one of them."""

import inspect
from collections.abc import Sequence
from typing import Any, Literal

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from tenant_runtime.agents.adapters.adapted import Adapted, Graph
from tenant_runtime.agents.manifest import AgentEntry
from tenant_runtime.agents.schemas import channels_describe


def _nodes(found: str | Sequence[str]) -> Literal["*"] | list[str] | None:
    """Interrupt nodes of a compiled graph, as `compile` takes them."""
    if isinstance(found, str):
        return "*"
    return list(found) or None


def adapt(found: Any, _: AgentEntry) -> Adapted:
    if inspect.isfunction(found):
        found = found()
    if isinstance(found, CompiledStateGraph):
        # Compiled anew: in strict mode `compile` is what allows the state's own types to be restored.
        compiled = found

        def recompile(checkpointer: Any) -> Graph:
            return compiled.builder.compile(
                checkpointer=checkpointer,
                interrupt_before=_nodes(compiled.interrupt_before_nodes),
                interrupt_after=_nodes(compiled.interrupt_after_nodes),
                name=compiled.name,
            )

        return Adapted(recompile, channels_describe(compiled.builder.channels))
    if isinstance(found, StateGraph):
        builder = found
        return Adapted(
            lambda checkpointer: builder.compile(checkpointer=checkpointer),
            channels_describe(builder.channels),
        )
    if isinstance(found, Pregel):
        pregel = found
        return Adapted(
            lambda checkpointer: pregel.copy({"checkpointer": checkpointer}),
            channels_describe(pregel.channels),
        )
    raise TypeError(f"a langgraph agent is a graph or a function that makes one, not {type(found).__name__}")
