"""Runs that start runs: how deep they may go, and that no agent comes twice in one line of descent."""

import uuid
from collections.abc import Mapping
from typing import Any, Final

from tenant_runtime.errors import AgentFault

DEEPEST: Final = 5
FIELD: Final = "started_by"


def descend(parent: Mapping[str, Any], agent: str) -> dict[str, Any]:
    """Metadata for a run of `agent` that the run `parent` starts: its parent and the agents above it, oldest first.

    Raises AgentFault `start_cycle` or `start_too_deep`. `parent` is the row of the run.
    """
    above = parent["metadata"].get(FIELD)
    earlier = above.get("agents", []) if isinstance(above, dict) else []
    line = [*(str(name) for name in earlier if isinstance(name, str)), parent["agent"]]
    if agent in line:
        raise AgentFault(
            f"{' > '.join([*line, agent])}: an agent may not start one that led to it", code="start_cycle"
        )
    if len(line) >= DEEPEST:
        raise AgentFault(f"{' > '.join([*line, agent])}: at most {DEEPEST} deep", code="start_too_deep")
    return {FIELD: {"run_id": str(parent["run_id"]), "agents": line}}


def child_thread(thread: str | uuid.UUID | None) -> uuid.UUID | None:
    """The thread an agent asks for: an id, or None for a new one."""
    if thread is None or isinstance(thread, uuid.UUID):
        return thread
    try:
        return uuid.UUID(thread)
    except ValueError:
        raise AgentFault(f"{thread[:80]!r} is no thread id", code="start_thread_invalid") from None
