"""What every adapter makes of a target."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from langgraph.pregel import Pregel

from tenant_runtime.gateway.tools import Tool

Graph = Pregel[Any, Any, Any, Any]


@dataclass(frozen=True)
class Adapted:
    """`graph_with(checkpointer)` gives a graph bound to a checkpointer.

    `schema` says what the thread's state is made of, by channel; see `agents/schemas.py`. `own_tools` are tools the
    target brings along: they pass the gateway like any other, so the entry must name them. `open_tools` says that it
    may bring further ones that are only known during a run. `streams`: what it makes comes item by item.
    """

    graph_with: Callable[[Any], Graph]
    schema: dict[str, Any]
    own_tools: dict[str, Tool] = field(default_factory=dict)
    open_tools: Callable[[str], Tool] | None = None
    streams: bool = False
