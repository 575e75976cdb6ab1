"""A thread's state in LangGraph's checkpoints: read, written, listed and removed, as SDK clients see it."""

import asyncio
import uuid
from typing import Any, cast

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import InvalidUpdateError
from langgraph.pregel import Pregel

from tenant_runtime.agents.loading import Agents, LoadedAgent
from tenant_runtime.database import Pool
from tenant_runtime.engine.serial import plain
from tenant_runtime.errors import Conflict, Invalid, NotFound

Row = dict[str, Any]


class _NoLock:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def checkpointer_make(pool: Pool) -> AsyncPostgresSaver:
    """Rebuilds only types known to be harmless, and never unpickles (see tenant_runtime/__init__.py)."""
    serde = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None, allowed_json_modules=None)
    saver = AsyncPostgresSaver(pool, serde=serde)
    # Its lock protects a single shared connection. Here every operation takes its own from the pool, and the
    # lock would only make all runs of the process write their checkpoints one after another.
    saver.lock = cast("asyncio.Lock", _NoLock())
    return saver


def _checkpoint(config: Any) -> Row | None:
    if not config:
        return None
    found = config.get("configurable", {})
    return {
        "thread_id": found.get("thread_id"),
        "checkpoint_ns": found.get("checkpoint_ns", ""),
        "checkpoint_id": found.get("checkpoint_id"),
        "checkpoint_map": found.get("checkpoint_map"),
    }


def state_render(snapshot: Any) -> Row:
    """A StateSnapshot as the SDK's ThreadState."""
    tasks = [
        {
            "id": task.id,
            "name": task.name,
            "path": task.path,
            "error": type(task.error).__name__ if isinstance(task.error, BaseException) else task.error,
            "interrupts": list(task.interrupts),
            "checkpoint": _checkpoint(task.state) if isinstance(task.state, dict) else None,
            "state": None,
            "result": getattr(task, "result", None),
        }
        for task in snapshot.tasks
    ]
    rendered: Row = plain(
        {
            "values": snapshot.values,
            "next": list(snapshot.next),
            "tasks": tasks,
            "metadata": snapshot.metadata,
            "created_at": snapshot.created_at,
            "checkpoint": _checkpoint(snapshot.config),
            "parent_checkpoint": _checkpoint(snapshot.parent_config),
            "interrupts": list(snapshot.interrupts),
        }
    )
    rendered["checkpoint_id"] = (rendered["checkpoint"] or {}).get("checkpoint_id")
    return rendered


def _empty(thread: Row) -> Row:
    checkpoint = {"thread_id": str(thread["thread_id"]), "checkpoint_ns": "", "checkpoint_id": None}
    return {
        "values": thread["values"] or {}, "next": [], "tasks": [], "metadata": {}, "created_at": None,
        "checkpoint": checkpoint, "parent_checkpoint": None, "interrupts": [], "checkpoint_id": None,
    }  # fmt: skip


class Checkpoints:
    """Graphs bound to the checkpointer, and a thread's state through the graph that last ran on it."""

    def __init__(self, pool: Pool, saver: AsyncPostgresSaver, agents: Agents) -> None:
        self._pool, self._saver, self._agents = pool, saver, agents
        self._graphs: dict[str, Pregel[Any, Any, Any, Any]] = {}

    def graph(self, agent: LoadedAgent) -> Pregel[Any, Any, Any, Any]:
        if agent.entry.name not in self._graphs:
            self._graphs[agent.entry.name] = agent.graph_with(self._saver)
        return self._graphs[agent.entry.name]

    def _of_thread(self, thread: Row) -> Pregel[Any, Any, Any, Any] | None:
        name = thread["metadata"].get("graph_id")
        agent = self._agents.find(str(name)) if name else None
        return self.graph(agent) if agent else None

    @staticmethod
    def _config(thread: Row, checkpoint: Row | None) -> Any:
        configurable: Row = {"thread_id": str(thread["thread_id"]), "checkpoint_ns": ""}
        for name in ("checkpoint_id", "checkpoint_ns"):
            if checkpoint and checkpoint.get(name):
                configurable[name] = str(checkpoint[name])
        return {"configurable": configurable}

    async def state(self, thread: Row, *, checkpoint: Row | None = None, subgraphs: bool = False) -> Row:
        """The thread's state, the newest or at a checkpoint; empty values when nothing ran yet."""
        graph = self._of_thread(thread)
        if graph is None:
            return _empty(thread)
        snapshot = await graph.aget_state(self._config(thread, checkpoint), subgraphs=subgraphs)
        if checkpoint and checkpoint.get("checkpoint_id") and snapshot.created_at is None:
            raise NotFound("no such checkpoint on this thread", code="checkpoint_not_found")
        return state_render(snapshot)

    async def history(
        self, thread: Row, *, limit: int, before: Row | None, metadata: Row | None
    ) -> list[Row]:
        graph = self._of_thread(thread)
        if graph is None:
            return []
        start = self._config(thread, before) if before else None
        found = graph.aget_state_history(
            self._config(thread, None), filter=metadata or None, before=start, limit=limit
        )
        return [state_render(snapshot) async for snapshot in found]

    async def update(self, thread: Row, values: Any, *, as_node: str | None, checkpoint: Row | None) -> Row:
        """Writes values as if a node had; the new checkpoint."""
        graph = self._of_thread(thread)
        if graph is None:
            raise Conflict("the thread has no agent yet: run one on it first", code="thread_without_agent")
        try:
            config = await graph.aupdate_state(self._config(thread, checkpoint), values, as_node=as_node)
        except (InvalidUpdateError, KeyError, ValueError) as error:
            raise Invalid(f"the update does not fit the graph: {type(error).__name__}") from error
        return {"checkpoint": _checkpoint(config), "checkpoint_id": config["configurable"]["checkpoint_id"]}

    async def delete_thread(self, thread_id: uuid.UUID) -> None:
        await self._saver.adelete_thread(str(thread_id))

    async def delete_run(self, thread_id: uuid.UUID, run_id: uuid.UUID) -> None:
        """Takes back what one run wrote: its checkpoints and their pending writes."""
        values = {"t": str(thread_id), "r": str(run_id)}
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(
                "DELETE FROM checkpoint_writes WHERE thread_id = %(t)s AND checkpoint_id IN (SELECT checkpoint_id "
                "FROM checkpoints WHERE thread_id = %(t)s AND metadata->>'run_id' = %(r)s)",
                values,
            )
            await conn.execute(
                "DELETE FROM checkpoints WHERE thread_id = %(t)s AND metadata->>'run_id' = %(r)s", values
            )
