"""One worker's attempt at one run: executed under its fence until it ends, sleeps, or is another worker's."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from langgraph.errors import GraphRecursionError
from psycopg import Error, InterfaceError, OperationalError
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg_pool import PoolTimeout

from tenant_runtime.agents.loading import Agents
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.events import RunLog
from tenant_runtime.engine.execution import Graphs
from tenant_runtime.engine.fence import Fence, fence_enter
from tenant_runtime.engine.leases import LEASE_S, Leases
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import EOF_EVENT, RunStatus
from tenant_runtime.errors import LeaseLost, RuntimeFault

log = logging.getLogger(__name__)

Row = dict[str, Any]
#: Why a task is ended from outside: somebody canceled the run, its lease is lost, or this process drains.
Cause = Literal["canceled", "lost", "drained"]


#: What a database that restarts, fails over or cuts a connection off does to whoever is using it.
_BROKEN_OFF: Final = (OperationalError, InterfaceError, PoolTimeout, IdleInTransactionSessionTimeout)


class Held:
    """A run this process executes. `kept_at` is this machine's clock when the lease was last known to be ours."""

    def __init__(self, fence: Fence, kept_at: float) -> None:
        self.fence, self.kept_at = fence, kept_at
        self.cause: Cause | None = None
        self.task: asyncio.Task[None] | None = None
        self.closing = False

    def end(self, cause: Cause) -> None:
        """Ends the task, unless it only writes its last rows: they are fenced, and soon written."""
        if self.cause is None and self.task is not None and not self.closing:
            self.cause = cause
            self.task.cancel()


@dataclass(frozen=True)
class _End:
    """The run is over."""

    status: RunStatus
    values: str | None = None
    interrupts: Row | None = None
    error: tuple[str, str] | None = None


@dataclass(frozen=True)
class _Sleep:
    """The run leaves this worker until `wake_at`."""

    wake_at: str


#: The run leaves this worker for another one: drained, or because the database under it broke off. A lost run has
#: left already.
_Left = Literal["drained", "broken", "lost"]


class Attempts:
    def __init__(
        self,
        *,
        bus: Bus,
        runs: RunRows,
        leases: Leases,
        checkpoints: Checkpoints,
        agents: Agents,
        graphs: Graphs,
    ) -> None:
        self._bus, self._runs, self._leases = bus, runs, leases
        self._checkpoints, self._agents, self._graphs = checkpoints, agents, graphs

    async def run(self, row: Row, held: Held) -> None:
        """The claimed run `row`, to its end or until it leaves this worker. Raises nothing."""
        fence = held.fence
        fence_enter(fence, overdue=lambda: time.monotonic() - held.kept_at > LEASE_S)
        extra = {"run_id": str(fence.run_id), "agent": row["agent"], "attempt": row["attempt"]}
        try:
            after = await self._leases.last_event(fence.run_id) if row["attempt"] > 1 else 0
            events = RunLog(self._checkpoints.saver.writer, self._bus, fence, after=after)
            writer = asyncio.create_task(events.run())
            try:
                outcome = await self._outcome(row, held, events)
            finally:
                held.closing = True
                events.close()
                await asyncio.gather(writer, return_exceptions=True)
            if isinstance(outcome, _End):
                await self._close(row, fence, events, outcome)
            else:
                await self._leave(fence, events, outcome)
                log.info("run left this worker", extra=extra | {"reason": _reason(outcome)})
        except LeaseLost:
            log.warning("run is another worker's", extra=extra)
        except (Error, OSError, asyncio.CancelledError):
            # The row stays `running`, and its lease runs out: another worker finishes it.
            log.exception("run could not be ended", extra=extra)

    async def _outcome(self, row: Row, held: Held, events: RunLog) -> _End | _Sleep | _Left:
        limit: asyncio.Timeout | None = None
        try:
            if row["cancel_action"] is not None:
                return _End("interrupted")
            agent = self._agents.find(row["agent"])
            if agent is None:
                raise RuntimeFault(f"agent {row['agent']!r} is not part of this version", code="agent_gone")
            events.append("metadata", {"run_id": str(row["run_id"]), "attempt": row["attempt"]})
            limit = asyncio.timeout(max(0.0, agent.entry.limits.timeout_s - row["spent_s"]))
            async with limit:
                reached = await self._graphs.run(agent, row, events)
            if reached.wake_at is not None:
                return _Sleep(reached.wake_at)
            return _End("success", dumps(reached.values), reached.interrupts)
        except asyncio.CancelledError:
            if held.cause == "canceled":
                return _End("interrupted")
            return held.cause or _End("error", error=("CancelledError", "The agent's code canceled its run."))
        except LeaseLost:
            return "lost"
        except Exception as surprise:
            if isinstance(surprise, TimeoutError) and limit is not None and limit.expired():
                text = "The run took longer than its agent's limits.timeout_s."
                return _End("timeout", error=("run_timeout", text))
            return self._failed(row, surprise)

    def _failed(self, row: Row, error: Exception) -> _End | _Left:
        if isinstance(error, GraphRecursionError):
            return _End(
                "error", error=("step_limit", "The run took more steps than its agent's limits.steps.")
            )
        if isinstance(error, RuntimeFault):
            return _End("error", error=(error.code, error.detail))
        extra = {"run_id": str(row["run_id"]), "agent": row["agent"]}
        if isinstance(error, _BROKEN_OFF) and row["losses"] + 1 < self._leases.shares.attempts:
            log.warning("run broken off by its database", extra=extra)
            return "broken"
        # An agent's own exception: its text may quote a user, so the caller sees it and the log does not.
        log.error("run failed", extra=extra, exc_info=error)
        return _End("error", error=(type(error).__name__, str(error)[:2000]))

    async def _leave(self, fence: Fence, events: RunLog, outcome: _Sleep | _Left) -> None:
        if outcome == "lost":
            raise LeaseLost
        with suppress(Error, OSError):
            await events.flush()
        if isinstance(outcome, _Sleep):
            await self._leases.sleep(fence, outcome.wake_at)
        elif outcome == "drained":
            await self._leases.give_back(fence)
        else:
            await self._leases.give_up_attempt(fence)

    async def _close(self, row: Row, fence: Fence, events: RunLog, end: _End) -> None:
        closing: list[tuple[str, object]] = []
        if end.error is not None:
            closing.append(("error", {"error": end.error[0], "message": end.error[1]}))
        closing.append((EOF_EVENT, {"run_id": str(fence.run_id), "status": end.status}))
        if end.status == "interrupted":
            await self._rollback_if_wished(row)
        ended = await self._runs.finish(
            fence, status=end.status, values=end.values, interrupts=end.interrupts, error=end.error,
            last_events=events.last(*closing),
        )  # fmt: skip
        log.info(
            "run ended",
            extra={
                "run_id": str(fence.run_id), "agent": row["agent"], "status": end.status if ended else "lost",
                "error_code": end.error[0] if end.error else None,
            },
        )  # fmt: skip

    async def _rollback_if_wished(self, row: Row) -> None:
        now = await self._runs.get(row["run_id"], owner=None)
        if now["cancel_action"] == "rollback":
            await self._checkpoints.delete_run(row["thread_id"], row["run_id"])


def _reason(outcome: _Sleep | _Left) -> str:
    return "asleep" if isinstance(outcome, _Sleep) else outcome
