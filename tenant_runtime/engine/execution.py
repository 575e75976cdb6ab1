"""One run through its agent's graph, from where it enters to its end, an interrupt or a sleep."""

import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tenant_runtime.agents.context import AgentContext, enter
from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.entering import entry_find
from tenant_runtime.engine.events import RunLog
from tenant_runtime.engine.serial import plain
from tenant_runtime.engine.sleeping import first_wake, sleeps_of
from tenant_runtime.engine.streaming import StreamShaper, graph_modes
from tenant_runtime.ledger.ledger import Ledgers
from tenant_runtime.memory.long_term import LongTermMemory
from tenant_runtime.memory.short_term import ShortTermMemory
from tenant_runtime.metering.accounts import Account
from tenant_runtime.models.client import ModelClient

Row = dict[str, Any]


@dataclass(frozen=True)
class Reached:
    """Where the graph stands: its values, its open interrupts by task, and when to wake it if it sleeps."""

    values: Any
    interrupts: Row
    wake_at: str | None


class Graphs:
    """Executes graphs with the doors an agent may use."""

    def __init__(
        self,
        *,
        checkpoints: Checkpoints,
        ledgers: Ledgers,
        model: ModelClient,
        short_term: ShortTermMemory,
        long_term: LongTermMemory,
    ) -> None:
        self._checkpoints, self._ledgers, self._model = checkpoints, ledgers, model
        self._short_term, self._long_term = short_term, long_term
        #: Starts a run from one that is executed here: (row of the run, key of the step, agent, input, thread).
        self.start_from: Callable[[Row, uuid.UUID, str, Any, str | None], Awaitable[Row]] | None = None

    async def run(self, agent: LoadedAgent, row: Row, events: RunLog) -> Reached:
        kwargs = json.loads(row["kwargs"])
        graph: Any = self._checkpoints.graph(agent)
        entry = await entry_find(graph, row, kwargs, now=datetime.now(UTC))
        if entry.over is not None:
            return _reached(str(row["run_id"]), entry.over)
        self._enter_context(agent, row, entry.asleep)
        config = _config(agent, row, kwargs, fresh=entry.fresh)
        wanted = kwargs.get("stream_mode") or ["values"]
        shaper = StreamShaper(wanted, events.append)
        options: Row = {
            "stream_mode": graph_modes(wanted),
            "subgraphs": bool(kwargs.get("stream_subgraphs")),
            "durability": "sync",
            "interrupt_before": kwargs.get("interrupt_before"),
            "interrupt_after": kwargs.get("interrupt_after"),
            "context": kwargs.get("context"),
        }
        if "events" in wanted:
            await _stream_events(graph, entry.given, config, options, shaper, events)
        else:
            async with aclosing(graph.astream(entry.given, config, **options)) as stream:
                async for item in stream:
                    shaper.feed(*(item if options["subgraphs"] else ((), *item)))
        state = await graph.aget_state({"configurable": {"thread_id": str(row["thread_id"])}})
        return _reached(str(row["run_id"]), state)

    def _enter_context(self, agent: LoadedAgent, row: Row, asleep: Mapping[str, str]) -> None:
        account = Account(str(row["run_id"]), row["principal"], agent.entry.name, agent.entry.version)
        enter(
            AgentContext(
                thread_id=str(row["thread_id"]), ledger=self._ledgers.of_run(row["thread_id"], account),
                model=self._model, model_name=agent.entry.model, gateway=agent.gateway, short_term=self._short_term,
                long_term=self._long_term, asleep=asleep,
                starter=partial(self.start_from, row) if self.start_from else None,
            )
        )  # fmt: skip


def _reached(run_id: str, state: Any) -> Reached:
    interrupts = {task.id: plain(task.interrupts) for task in state.tasks if task.interrupts}
    sleeps = sleeps_of(run_id, state.interrupts)
    return Reached(state.values, interrupts, first_wake(sleeps) if sleeps else None)


async def _stream_events(
    graph: Any, given: Any, config: Row, options: Row, shaper: StreamShaper, events: RunLog
) -> None:
    """With mode `events`: every callback event goes out, and the graph's own chunks are taken from them."""
    async with aclosing(graph.astream_events(given, config, version="v2", **options)) as stream:
        async for event in stream:
            own = event["run_id"] == config["run_id"] and event["event"] == "on_chain_stream"
            if own:
                item = event["data"]["chunk"]
                shaper.feed(*(item if options["subgraphs"] else ((), *item)))
            else:
                events.append("events", event)


def _config(agent: LoadedAgent, row: Row, kwargs: Row, *, fresh: bool) -> Row:
    asked = kwargs.get("config") or {}
    # The caller's own keys first: which thread this is, is for the URL to say and nobody else.
    configurable = {
        **{
            key: value for key, value in (asked.get("configurable") or {}).items() if not key.startswith("__")
        },
        "thread_id": str(row["thread_id"]),
        "checkpoint_ns": "",
    }
    configurable.pop("checkpoint_id", None)
    if fresh and (checkpoint_id := kwargs.get("checkpoint_id")):
        configurable["checkpoint_id"] = checkpoint_id
    steps = agent.entry.limits.steps
    return {
        "configurable": configurable,
        "run_id": str(row["run_id"]),
        "run_name": agent.entry.name,
        "tags": [str(tag) for tag in asked.get("tags") or []],
        "metadata": {
            **row["metadata"], "run_id": str(row["run_id"]), "graph_id": agent.entry.name,
            "assistant_id": row["assistant_id"], "run_attempt": row["attempt"],
        },
        "recursion_limit": min(int(asked.get("recursion_limit") or steps), steps),
    }  # fmt: skip
