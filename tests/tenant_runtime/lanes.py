"""A server that only serves and two workers, of which one is killed, or stopped, at a named point of a run's step.

A lane has a database, crash points and a counting service of its own and one run at a time, so that lanes side by
side stay exact: whatever is counted twice was caused in this lane, by this run.
"""

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.tenant_runtime.effects import CrashPoints, Effects, effects_started
from tests.tenant_runtime.preloaded import Forge, ForkedWorker
from tests.tenant_runtime.rows import rows_changed, rows_read, rows_settled
from tests.tenant_runtime.support import (
    START_S,
    ModelProcess,
    journal_read,
    runtime_environment,
    runtime_started,
    wait_until,
)

AGENTS = Path(__file__).parent / "agents" / "effects.toml"
AGENT = "poster"
STEPS = 3
_OVER = ("success", "error", "timeout", "interrupted")
#: A woken worker that writes would do so at once, or at its next heartbeat.
WOKEN_S = 1.5


@dataclass(frozen=True)
class Case:
    """Where a worker is struck, what the run calls, and whether a person must be asked then."""

    point: str
    tool: str
    asks: bool

    @property
    def what(self) -> str:
        return f"{self.point} of {self.tool}"


@dataclass(frozen=True)
class Halted:
    """A run whose worker halts at a point. `step` is the one whose effect it waited for, `label` names its effects."""

    case: Case
    label: str
    step: int
    thread_id: str
    run_id: str
    worker: ForkedWorker
    journal: Path

    def taken_over_at(self) -> float | None:
        """When another worker began the run's next step."""
        later = [
            line for line in journal_read(self.journal)
            if line["run"] == self.run_id and line["pid"] != self.worker.pid
        ]  # fmt: skip
        return float(later[0]["at"]) if later else None


@dataclass
class Lane:
    url: str
    folder: Path
    environment: dict[str, str]
    effects: Effects
    points: CrashPoints
    http: httpx.Client
    forge: Forge
    plant: str = ""
    workers: list[ForkedWorker] = field(default_factory=list)
    struck: int = 0

    def worker_add(self) -> None:
        self.workers.append(self.forge.worker(self.environment, AGENTS, plant=self.plant))

    def killed(self, case: Case, label: str) -> dict[str, Any]:
        """Kills the worker that reaches the case's point; another one finishes the run, asked or not."""
        halted = self._halted(case, label)
        self.workers.remove(halted.worker)
        killed = time.time()
        halted.worker.kill()
        self.points.release(case.point)
        self.worker_add()
        next_step = self._taken_over(halted)
        self._over(halted)
        self._judged(halted)
        return {
            "what": "kill", "point": case.point, "tool": case.tool, "next_step_s": next_step - killed,
            "done_s": time.time() - killed,
        }  # fmt: skip

    def paused(self, case: Case, label: str, *, within: bool) -> dict[str, Any]:
        """Stops the worker that reaches the case's point until another one has the run, and wakes it: while the
        other is `within` its next step, or when the run is over. No row may change by that."""
        halted = self._halted(case, label)
        following = f"{label} {halted.step + 1}"
        if within:
            self.effects.gates[following] = threading.Event()
        halted.worker.signal(signal.SIGSTOP)
        paused = time.time()
        # It goes on where it halts as soon as it is woken.
        self.points.release(case.point)
        next_step = self._taken_over(halted)
        if within:
            wait_until(lambda: self.effects.done[following], 15, "the successor's effect")
        else:
            self._over(halted)
        before, calls = rows_settled(self.url), len(self.effects.keys)
        halted.worker.signal(signal.SIGCONT)
        wait_until(lambda: halted.worker.gave_up(halted.run_id), 15, "the woken worker to give up its run")
        time.sleep(WOKEN_S)
        written = rows_changed(before, rows_read(self.url))
        assert written == [], f"{case.what}: the woken worker wrote {written}"
        if not within and case.tool == "post":
            # A key of its own protects the other tool.
            assert len(self.effects.keys) == calls, f"{case.what}: the woken worker called outside"
        if within:
            self.effects.gates[following].set()
            self._over(halted)
        self._judged(halted)
        return {
            "what": "pause", "point": case.point, "tool": case.tool, "within": within, "written": len(written),
            "paused_s": next_step - paused,
        }  # fmt: skip

    def _halted(self, case: Case, label: str) -> Halted:
        wait_until(lambda: sum(worker.ready() for worker in self.workers) >= 2, START_S, "two workers")
        # Only a tool that says it is idempotent has a callee that honours its key; else the judge counts each call.
        self.effects.by_key = case.tool == "post_idempotent"
        step = self.struck % (STEPS - 1)
        self.struck += 1
        gated, journal = f"{label} {step}", self.folder / f"{label}.journal"
        gate = self.effects.gates[gated] = threading.Event()
        thread_id = self._post("/threads", {})["thread_id"]
        given = {"tool": case.tool, "steps": STEPS, "label": label, "journal": str(journal)}
        run = self._post(f"/threads/{thread_id}/runs", {"assistant_id": AGENT, "input": given})
        wait_until(lambda: self.effects.done[gated], 30, "an effect")
        self.points.arm(case.point)
        gate.set()
        pid = self.points.reached(case.point)
        worker = next(worker for worker in self.workers if worker.pid == pid)
        return Halted(case, label, step, thread_id, run["run_id"], worker, journal)

    def _taken_over(self, halted: Halted) -> float:
        return float(wait_until(halted.taken_over_at, 30, f"{halted.case.what}: another worker's step"))

    def _over(self, halted: Halted) -> None:
        def over() -> bool:
            ((status,),) = self.rows("SELECT status FROM runs WHERE run_id = %s", halted.run_id)
            return status in _OVER

        wait_until(over, 30, f"{halted.case.what}: the run's end")

    def _judged(self, halted: Halted) -> None:
        """The run has done all it was to do, each effect once; where nobody can know, a person was asked first."""
        case, label = halted.case, halted.label
        thread = self._get(f"/threads/{halted.thread_id}")
        assert bool(thread["interrupts"]) == case.asks, f"{case.what}: {thread['interrupts']}"
        if case.asks:
            thread = self._answered(thread)
        wanted = {f"{label} {n}": 1 for n in range(STEPS)}
        done = {what: n for what, n in self.effects.done.items() if what.startswith(f"{label} ")}
        assert done == wanted, case.what
        assert thread["values"]["count"] == STEPS, case.what
        assert [answer["done"] for answer in thread["values"]["answers"]] == list(wanted), case.what

    def _answered(self, thread: dict[str, Any]) -> dict[str, Any]:
        """Says what the counting service knows."""
        ((interrupt,),) = thread["interrupts"].values()
        asked = interrupt["value"]
        assert (asked["type"], asked["tool"]) == ("step_unknown", "post")
        what = asked["arguments"]["what"]
        done = bool(self.effects.done[what])
        answer = {"outcome": "done", "result": {"done": what}} if done else {"outcome": "not_done"}
        body = {"assistant_id": AGENT, "command": {"resume": answer}}
        self._post(f"/threads/{thread['thread_id']}/runs/wait", body)
        seen = self.rows(
            "SELECT action FROM audit_log WHERE object = %s AND action LIKE 'step.%%' ORDER BY seq",
            f"thread/{thread['thread_id']}",
        )
        assert seen == [("step.unknown",), ("step.done" if done else "step.not_done",)]
        return self._get(f"/threads/{thread['thread_id']}")

    def books(self) -> None:
        """Of all that was struck here: no run is lost, every call is billed, once, and no step is left over."""
        assert self.effects.duplicates() == {}
        assert self.rows("SELECT DISTINCT status FROM runs") == [("success",)]
        for type_ in ("freehold.model.usage.v1", "freehold.tool.usage.v1"):
            assert self._billed(type_) == STEPS * self.struck, type_
        assert self.rows("SELECT count(*) FROM run_steps") == [(0,)], "checkpoints take their steps in"

    def _billed(self, type_: str) -> int:
        bodies = [json.loads(body) for (body,) in self.rows("SELECT body FROM usage_outbox")]
        return sum(body["type"] == type_ and body["data"]["agent"] != "start" for body in bodies)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as conn:
            return conn.execute(statement, values).fetchall()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(self.http.post(path, json=body).raise_for_status().json())

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self.http.get(path).raise_for_status().json())


@contextmanager
def lane_started(
    folder: Path, url: str, forge: Forge, model: ModelProcess, *, plant: str = ""
) -> Iterator[Lane]:
    points = folder / "points"
    points.mkdir(parents=True)
    with ExitStack() as stack:
        effects = stack.enter_context(effects_started())
        environment = runtime_environment(
            url, MODEL_BASE_URL=model.url, MODEL_NAME="offline-rules-1", EFFECTS_URL=effects.url,
            RUNTIME_LOG_LEVEL="warning", RUNTIME_POOL_SIZE="4",
        )  # fmt: skip
        serving = environment | {"RUNTIME_MAX_RUNS": "0"}
        started = partial(runtime_started, folder, serving, manifest=AGENTS, until="/live")
        http = stack.enter_context(stack.enter_context(started()).http())
        environment["FREEHOLD_CRASH_POINTS"] = str(points)
        lane = Lane(url, folder, environment, effects, CrashPoints(points), http, forge, plant)
        for _ in range(2):
            lane.worker_add()
        yield lane
        lane.books()
