"""Where a run enters its graph: with its own input at first, and at its last checkpoint when it comes back.

A run comes back when its worker was lost, gave it back while draining, or when it has slept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from langgraph.types import Command, StateSnapshot

from tenant_runtime.engine.inputs import command_make
from tenant_runtime.engine.sleeping import SLEEP, sleeps_of, woken

Row = dict[str, Any]
#: LangGraph's channel for answers to interrupts.
_RESUME: Final = "__resume__"


@dataclass(frozen=True)
class Entry:
    """`given` goes into the graph. `fresh`: the run's own input, which may name a checkpoint to begin at.

    With `over` the graph has nothing left to do in this run: that state is its end. `asleep` holds the moments its
    sleeps were to end at, by place, for the nodes that begin again.
    """

    given: Any
    fresh: bool = False
    over: StateSnapshot | None = None
    asleep: Mapping[str, str] = field(default_factory=dict)


def given_input(kwargs: Row) -> Any:
    """The input a run was asked for with, or its command."""
    command = kwargs.get("command")
    if not command:
        return kwargs.get("input")
    return command_make(command)


async def entry_find(graph: Any, row: Row, kwargs: Row, *, now: datetime) -> Entry:
    """For a claimed run `row`; `now` decides which of its sleeps are over."""
    if row["attempt"] == 1:
        return Entry(given_input(kwargs), fresh=True)
    run_id, config = str(row["run_id"]), {"configurable": {"thread_id": str(row["thread_id"])}}
    state = await graph.aget_state(config)
    sleeps = sleeps_of(run_id, state.interrupts)
    own = (state.metadata or {}).get("run_id") == run_id
    if sleeps:
        # An answer that was taken before the worker was lost is stored with its task, and is not given twice.
        taken = await _answered(graph, config)
        asleep = {value["place"]: value["wake_at"] for value in sleeps.values()}
        if due := {id_: value for id_, value in woken(sleeps, now).items() if id_ not in taken}:
            return Entry(Command(resume=due), asleep=asleep)
        return Entry(None, asleep=asleep) if taken & sleeps.keys() else Entry(None, over=state)
    if not own:
        return Entry(given_input(kwargs), fresh=True)
    if await _at_its_end(graph, state, kwargs):
        return Entry(None, over=state)
    return Entry(None)


async def _answered(graph: Any, config: Row) -> set[str]:
    """Ids of the sleeps whose tasks have been told that they are over."""
    stored = await graph.checkpointer.aget_tuple(
        {"configurable": {**config["configurable"], "checkpoint_ns": ""}}
    )
    answers: list[Any] = []
    for _, channel, value in (stored.pending_writes or []) if stored else []:
        if channel == _RESUME:
            answers.extend(value if isinstance(value, list) else [value])
    return {item["slept"] for item in answers if isinstance(item, dict) and item.get("type") == SLEEP}


async def _at_its_end(graph: Any, state: StateSnapshot, kwargs: Row) -> bool:
    """Whether the run had stopped already, and only its last word was missing.

    Going on with no input would walk past a breakpoint, as a person's approval does.
    """
    if not state.next or all(task.interrupts for task in state.tasks):
        return True
    if _among(state.next, kwargs.get("interrupt_before") or graph.interrupt_before_nodes):
        return True
    after = kwargs.get("interrupt_after") or graph.interrupt_after_nodes
    if not after or state.parent_config is None:
        return False
    return _among((await graph.aget_state(state.parent_config)).next, after)


def _among(nodes: Sequence[str], wanted: str | Sequence[str]) -> bool:
    return bool(nodes) and (wanted == "*" or any(node in wanted for node in nodes))
