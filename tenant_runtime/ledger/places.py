"""Where a call is made: which task of which graph, so that a replay by any worker finds the same place again."""

from dataclasses import dataclass
from typing import Any, Final

from langgraph.config import get_config

_RUNTIME: Final = "__pregel_runtime"


@dataclass(frozen=True)
class StepPlace:
    """`task` is LangGraph's id of the task, which follows from the checkpoint it started from; `attempt` counts the
    node's own retries in this process; `label` is `step:node`, as usage events name it. `root` and `root_checkpoint`
    are those of the outermost graph."""

    task: str
    root: str
    root_checkpoint: str
    checkpoint_ns: str
    checkpoint_id: str
    attempt: int
    label: str


def place_now() -> StepPlace | None:
    """The task this code is part of; None outside of a graph."""
    try:
        config = get_config()
    except RuntimeError:
        return None
    info: Any = getattr(config["configurable"].get(_RUNTIME), "execution_info", None)
    if info is None:
        return None
    metadata = config.get("metadata", {})
    segments = info.checkpoint_ns.split("|")
    return StepPlace(
        task=info.task_id,
        root=segments[0].rpartition(":")[2] or info.task_id,
        root_checkpoint=config["configurable"].get("checkpoint_map", {}).get("") or info.checkpoint_id,
        checkpoint_ns="|".join(segments[:-1]),
        checkpoint_id=info.checkpoint_id,
        attempt=info.node_attempt,
        label=f"{metadata.get('langgraph_step', 0)}:{metadata.get('langgraph_node', 'main')}",
    )
