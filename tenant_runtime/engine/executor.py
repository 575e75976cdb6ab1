"""Claims pending runs and executes them as tasks of this process.

The rest of the house only reads and writes rows and events, so this file can be replaced by leased workers.
"""

import asyncio
import json
import logging
import uuid
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Final

from langgraph.errors import GraphRecursionError
from langgraph.types import Command, Send
from psycopg import Error

from tenant_runtime.agents.context import Account, AgentContext, Calls, enter
from tenant_runtime.agents.loading import Agents, LoadedAgent
from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.events import RunLog
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.serial import dumps, plain
from tenant_runtime.engine.states import EOF_EVENT, RunStatus
from tenant_runtime.engine.streaming import StreamShaper, graph_modes
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import RuntimeFault
from tenant_runtime.memory.long_term import LongTermMemory
from tenant_runtime.memory.short_term import ShortTermMemory
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.models.client import ModelClient

log = logging.getLogger(__name__)

SWEEP_S: Final = 2.0
Row = dict[str, Any]


class Executor:
    """`wake()` says there may be work. At most `max_runs` runs execute at once in this process."""

    def __init__(
        self,
        *,
        pool: Pool,
        bus: Bus,
        runs: RunRows,
        threads: ThreadRows,
        checkpoints: Checkpoints,
        agents: Agents,
        outbox: Outbox,
        model: ModelClient,
        short_term: ShortTermMemory,
        long_term: LongTermMemory,
        max_runs: int,
    ) -> None:
        self._pool, self._bus, self._runs, self._threads = pool, bus, runs, threads
        self._checkpoints, self._agents, self._outbox, self._model = checkpoints, agents, outbox, model
        self._short_term, self._long_term, self._max_runs = short_term, long_term, max_runs
        self._work = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._canceled: set[str] = set()
        self._stopping = False
        bus.on_work, bus.on_cancel = self.wake, self.cancel_local

    @property
    def running(self) -> int:
        return len(self._tasks)

    def wake(self) -> None:
        self._work.set()

    def cancel_local(self, run_id: str) -> None:
        """Ends a run of this process; other processes' runs are theirs to end."""
        if (task := self._tasks.get(run_id)) is not None and run_id not in self._canceled:
            self._canceled.add(run_id)
            task.cancel()

    async def run(self) -> None:
        """Claims until cancelled. Looks by itself every SWEEP_S, in case a wake-up was lost."""
        while True:
            self._work.clear()
            try:
                await self._claim_all()
            except (Error, OSError):
                log.warning("claiming failed, the database does not answer")
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_S):
                    await self._work.wait()

    async def _claim_all(self) -> None:
        while self._bus.alive and not self._stopping and len(self._tasks) < self._max_runs:
            row = await self._runs.claim()
            if row is None:
                return
            key = str(row["run_id"])
            task = asyncio.create_task(self._execute(row), name=f"run {key}")
            self._tasks[key] = task
            task.add_done_callback(partial(self._done, key))

    def _done(self, key: str, _: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        self._canceled.discard(key)
        self.wake()

    async def sweep(self) -> None:
        """Until cancelled: gives up runs of dead processes, sees lost cancel wishes, removes spent threads."""
        while True:
            try:
                for run_id in await self._runs.give_up_lost():
                    log.error("run lost with its process", extra={"run_id": str(run_id)})
                    self.wake()
                for wished in await self._runs.cancel_wishes():
                    self.cancel_local(wished)
                for thread_id in await self._threads.due_for_removal():
                    await self._checkpoints.delete_thread(thread_id)
                    await self._threads.delete(thread_id)
            except (Error, OSError, RuntimeFault):
                log.warning("sweep failed, tried again soon")
            await asyncio.sleep(SWEEP_S)

    def claim_no_more(self) -> None:
        """Leaves what is pending to another process; what runs goes on."""
        self._stopping = True

    async def drain(self, within_s: float) -> None:
        """Takes no more work and gives running runs a moment; what is left ends with a clear reason."""
        self._stopping = True
        tasks = list(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=within_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _execute(self, row: Row) -> None:
        """One claimed run from start to end. Whatever happens, the row gets its last state."""
        run_id: uuid.UUID = row["run_id"]
        events = RunLog(self._pool, self._bus, run_id)
        writer = asyncio.create_task(events.run())
        status: RunStatus = "error"
        error: tuple[str, str] | None = None
        values: str | None = None
        interrupts: Row = {}
        agent = self._agents.find(row["agent"])
        limit: asyncio.Timeout | None = None
        try:
            if agent is None:
                raise RuntimeFault(f"agent {row['agent']!r} is not part of this version", code="agent_gone")
            limit = asyncio.timeout(agent.entry.limits.timeout_s)
            events.append("metadata", {"run_id": str(run_id), "attempt": row["attempt"]})
            async with limit:
                found, interrupts = await self._graph_run(agent, row, events)
            values, status = dumps(found), "success"
        except TimeoutError:
            status, error = (
                "timeout",
                ("run_timeout", "The run took longer than its agent's limits.timeout_s."),
            )
        except asyncio.CancelledError:
            if str(run_id) in self._canceled:
                status = "interrupted"
            else:
                error = ("runtime_stopped", "The runtime was stopped before the run ended; start a new run.")
        except GraphRecursionError:
            error = ("step_limit", "The run took more steps than its agent's limits.steps.")
        except RuntimeFault as fault:
            error = (fault.code, fault.detail)
        except Exception as surprise:
            # An agent's own exception: its text may quote a user, so the caller sees it and the log does not.
            error = (type(surprise).__name__, str(surprise)[:2000])
            log.exception("run failed", extra={"run_id": str(run_id), "agent": row["agent"]})
        finally:
            writer.cancel()
        await self._close(row, events, status, values, interrupts, error)

    async def _close(
        self,
        row: Row,
        events: RunLog,
        status: RunStatus,
        values: str | None,
        interrupts: Row,
        error: tuple[str, str] | None,
    ) -> None:
        run_id: uuid.UUID = row["run_id"]
        with suppress(Error):
            await events.flush()
        closing: list[tuple[str, object]] = []
        if error is not None:
            closing.append(("error", {"error": error[0], "message": error[1]}))
        closing.append((EOF_EVENT, {"run_id": str(run_id), "status": status}))
        try:
            if status == "interrupted":
                await self._rollback_if_wished(row)
            ended = await self._runs.finish(
                run_id, status=status, values=values, interrupts=interrupts, error=error,
                last_events=events.last(*closing),
            )  # fmt: skip
        except (Error, OSError):
            # The row stays `running`; when this process goes, or at the next start, it is given up as lost.
            log.exception("run could not be ended", extra={"run_id": str(run_id)})
            return
        log.info(
            "run ended",
            extra={
                "run_id": str(run_id), "agent": row["agent"], "status": status if ended else "lost",
                "error_code": error[0] if error else None,
            },
        )  # fmt: skip

    async def _rollback_if_wished(self, row: Row) -> None:
        now = await self._runs.get(row["run_id"])
        if now["cancel_action"] == "rollback":
            await self._checkpoints.delete_run(row["thread_id"], row["run_id"])

    async def _graph_run(self, agent: LoadedAgent, row: Row, events: RunLog) -> tuple[Any, Row]:
        """Runs the graph to its end or to an interrupt; (last values, open interrupts by task)."""
        kwargs = json.loads(row["kwargs"])
        account = Account(str(row["run_id"]), row["principal"], agent.entry.name, agent.entry.version)
        enter(
            AgentContext(
                thread_id=str(row["thread_id"]), calls=Calls(self._outbox, account), model=self._model,
                model_name=agent.entry.model, gateway=agent.gateway, short_term=self._short_term,
                long_term=self._long_term,
            )
        )  # fmt: skip
        graph: Any = self._checkpoints.graph(agent)
        config = self._config(agent, row, kwargs)
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
        given = self._input(kwargs)
        if "events" in wanted:
            await self._stream_events(graph, given, config, options, shaper, events)
        else:
            async with aclosing(graph.astream(given, config, **options)) as stream:
                async for item in stream:
                    shaper.feed(*(item if options["subgraphs"] else ((), *item)))
        state = await graph.aget_state({"configurable": {"thread_id": str(row["thread_id"])}})
        interrupts = {task.id: plain(task.interrupts) for task in state.tasks if task.interrupts}
        return state.values, interrupts

    @staticmethod
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

    @staticmethod
    def _config(agent: LoadedAgent, row: Row, kwargs: Row) -> Row:
        asked = kwargs.get("config") or {}
        # The caller's own keys first: which thread this is, is for the URL to say and nobody else.
        configurable = {
            **{
                key: value
                for key, value in (asked.get("configurable") or {}).items()
                if not key.startswith("__")
            },
            "thread_id": str(row["thread_id"]),
            "checkpoint_ns": "",
        }
        configurable.pop("checkpoint_id", None)
        if checkpoint_id := kwargs.get("checkpoint_id"):
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

    @staticmethod
    def _input(kwargs: Row) -> Any:
        command = kwargs.get("command")
        if not command:
            return kwargs.get("input")
        goto = command.get("goto") or []
        targets = goto if isinstance(goto, list) else [goto]
        return Command(
            update=command.get("update"),
            resume=command.get("resume"),
            goto=[
                Send(item["node"], item.get("input")) if isinstance(item, dict) else item for item in targets
            ],
        )
