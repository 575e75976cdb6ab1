"""A thread's state in LangGraph's checkpoints: read, written, listed and removed, as SDK clients see it."""

import asyncio
import uuid
from typing import Any, cast

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import InvalidUpdateError
from langgraph.pregel import Pregel
from langgraph.types import StateSnapshot

from tenant_runtime.access.audit import audit_write
from tenant_runtime.agents.loading import Agents, LoadedAgent
from tenant_runtime.database import Pool
from tenant_runtime.engine.serde.gate import SealGate
from tenant_runtime.engine.serde.growth import delta_usable, deltas_use
from tenant_runtime.engine.serde.saver import Refused, SealedSaver
from tenant_runtime.engine.serde.sealing import Sealer
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.thread_data import ThreadData, Whole, orphans_remove
from tenant_runtime.errors import Conflict, Invalid, NotFound

Row = dict[str, Any]


class _NoLock:
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def checkpointer_make(pool: Pool, *, sealer: Sealer | None, gate: SealGate, refused: Refused) -> SealedSaver:
    """Rebuilds only types known to be harmless, and never unpickles (see tenant_runtime/__init__.py)."""
    serde = JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None, allowed_json_modules=None)
    saver = SealedSaver(pool, serde=serde, sealer=sealer, gate=gate, refused=refused)
    # Its lock protects a single shared connection. Here every operation takes its own from the pool, and the
    # lock would only make all runs of the process write their checkpoints one after another.
    saver.lock = cast("asyncio.Lock", _NoLock())
    return saver


def refusals_audited(pool: Pool) -> Refused:
    """Writes an audit row for each stored row that was refused."""

    async def refused(thread_id: str, where: str, reason: str) -> None:
        async with pool.connection() as conn:
            await audit_write(
                conn, actor="runtime", action="checkpoint.refused", object_=f"thread/{thread_id}", checkpoint=where,
                reason=reason,
            )  # fmt: skip

    return refused


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
            "state": state_render(task.state) if isinstance(task.state, StateSnapshot) else None,
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

    def __init__(self, pool: Pool, saver: SealedSaver, agents: Agents, *, deltas: bool = False) -> None:
        self._pool, self._saver, self._agents = pool, saver, agents
        self._graphs: dict[str, tuple[LoadedAgent, Pregel[Any, Any, Any, Any]]] = {}
        self.data = ThreadData(pool, saver)
        self._deltas = deltas and delta_usable()

    def graph(self, agent: LoadedAgent) -> Pregel[Any, Any, Any, Any]:
        bound = self._graphs.get(agent.entry.name)
        if bound is None or bound[0] is not agent:
            # A reload puts another agent in the place of the name.
            graph = agent.graph_with(self._saver)
            if self._deltas:
                deltas_use(graph)
            bound = self._graphs[agent.entry.name] = (agent, graph)
        return bound[1]

    @property
    def saver(self) -> SealedSaver:
        return self._saver

    def graph_of(self, thread: Row) -> Pregel[Any, Any, Any, Any] | None:
        """The graph that last ran on the thread, or that its metadata names; None when there is none."""
        name = thread["metadata"].get("graph_id")
        agent = self._agents.find(str(name)) if name else None
        return self.graph(agent) if agent else None

    @staticmethod
    def _config(thread: Row, checkpoint: Row | None) -> Any:
        configurable: Row = {"thread_id": str(thread["thread_id"]), "checkpoint_ns": ""}
        for name in ("checkpoint_id", "checkpoint_ns"):
            if checkpoint and checkpoint.get(name):
                configurable[name] = str(checkpoint[name])
        if checkpoint and isinstance(checkpoint.get("checkpoint_map"), dict):
            configurable["checkpoint_map"] = checkpoint["checkpoint_map"]
        return {"configurable": configurable}

    async def state(self, thread: Row, *, checkpoint: Row | None = None, subgraphs: bool = False) -> Row:
        """The thread's state, the newest or at a checkpoint; empty values when nothing ran yet."""
        graph = self.graph_of(thread)
        if graph is None:
            return _empty(thread)
        snapshot = await graph.aget_state(self._config(thread, checkpoint), subgraphs=subgraphs)
        if checkpoint and checkpoint.get("checkpoint_id") and snapshot.created_at is None:
            raise NotFound("no such checkpoint on this thread", code="checkpoint_not_found")
        return state_render(snapshot)

    async def history(
        self, thread: Row, *, limit: int, before: Row | None, metadata: Row | None
    ) -> list[Row]:
        graph = self.graph_of(thread)
        if graph is None:
            return []
        start = self._config(thread, before) if before else None
        found = graph.aget_state_history(
            self._config(thread, None), filter=metadata or None, before=start, limit=limit
        )
        return [state_render(snapshot) async for snapshot in found]

    async def update(self, thread: Row, values: Any, *, as_node: str | None, checkpoint: Row | None) -> Row:
        """Writes values as if a node had; the new checkpoint."""
        graph = self.graph_of(thread)
        if graph is None:
            raise Conflict("the thread has no agent yet: run one on it first", code="thread_without_agent")
        try:
            config = await graph.aupdate_state(self._config(thread, checkpoint), values, as_node=as_node)
        except (InvalidUpdateError, KeyError, ValueError) as error:
            raise Invalid(f"the update does not fit the graph: {type(error).__name__}") from error
        return {"checkpoint": _checkpoint(config), "checkpoint_id": config["configurable"]["checkpoint_id"]}

    async def prune(self, thread: Row, *, owner: str | None) -> int:
        """All but the newest state; how many checkpoints went. Conflict while a run is active on the thread."""
        graph, config = self.graph_of(thread), self._config(thread, None)
        newest = await self._saver.aget_tuple(config)
        whole: Whole | None = None
        if graph is not None and newest is not None:
            # Named by its id, so that what is pending on it is not taken in.
            snapshot = await graph.aget_state(newest.config)
            values = snapshot.values if isinstance(snapshot.values, dict) else {}
            whole = Whole(newest.config["configurable"]["checkpoint_id"], values)
        return await self.data.prune(thread["thread_id"], owner=owner, whole=whole)

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
            await conn.execute("DELETE FROM run_steps WHERE thread_id = %(t)s::uuid", values)
            await orphans_remove(conn, thread_id)
