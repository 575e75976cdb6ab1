"""A thread's history as a whole: written ahead; and the thread's row kept true to its state."""

from typing import Any

from langgraph.errors import InvalidUpdateError
from langgraph.types import StateUpdate
from psycopg.types.json import Jsonb

from tenant_runtime.database import Pool
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.inputs import command_make
from tenant_runtime.engine.serial import dumps
from tenant_runtime.errors import Invalid

Row = dict[str, Any]


async def supersteps_write(checkpoints: Checkpoints, thread: Row, steps: list[list[Row]]) -> None:
    """Writes updates step by step, each as the node it names would have. Invalid when one does not fit the graph."""
    graph = checkpoints.graph_of(thread)
    if graph is None:
        raise Invalid("`supersteps` need to know the agent: give `graph_id`", code="thread_without_agent")
    wanted = [[_update(each) for each in step] for step in steps]
    config: Any = {"configurable": {"thread_id": str(thread["thread_id"]), "checkpoint_ns": ""}}
    try:
        await graph.abulk_update_state(config, wanted)
    except (InvalidUpdateError, KeyError, ValueError, TypeError) as error:
        raise Invalid(f"a superstep does not fit the graph: {type(error).__name__}") from error


def _update(each: Row) -> StateUpdate:
    values: Any = command_make(each["command"]) if each.get("command") else each.get("values")
    return StateUpdate(values, each.get("as_node"))


async def row_refresh(pool: Pool, checkpoints: Checkpoints, thread: Row) -> None:
    """Brings the row of a thread without an active run in line with its latest checkpoint."""
    state = await checkpoints.state(thread)
    interrupts = {task["id"]: task["interrupts"] for task in state["tasks"] if task["interrupts"]}
    async with pool.connection() as conn:
        await conn.execute(
            'UPDATE threads SET "values" = %s::jsonb, interrupts = %s, status = %s, updated_at = now() '
            "WHERE thread_id = %s AND status <> 'busy'",
            [
                dumps(state["values"]), Jsonb(interrupts), "interrupted" if interrupts else "idle",
                thread["thread_id"],
            ],
        )  # fmt: skip
