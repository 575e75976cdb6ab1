"""Adapter `pydantic_ai`: an Agent of that library as a graph of one node, its model and tools behind our doors."""

from typing import Any

from tenant_runtime.agents.adapters.adapted import Adapted
from tenant_runtime.agents.manifest import AgentEntry


def adapt(found: Any, entry: AgentEntry) -> Adapted:
    # Imported when a manifest asks for it: the library takes a second.
    from tenant_runtime.agents.adapters.pydantic_ai.agent import adapt_agent

    return adapt_agent(found, entry)
