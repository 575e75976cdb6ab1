"""A runner's work on data, in the runner's protocol (contracts/engine.py)."""

from collections.abc import Callable
from typing import Any

from contracts.engine import EngineEvent, PlanFacts, PlanSummary, RunnerDecision, RunnerJob
from contracts.snapshot import DataJob, SnapshotManifest
from contracts.stack import StackSpec
from stacks.assessment import data_assess
from stacks.snapshots.jobs import job_final, job_restore, job_snapshot
from stacks.snapshots.progress import Progress

Send = Callable[[EngineEvent], None]
Decide = Callable[[], RunnerDecision]


def data_run(
    job: RunnerJob,
    data: DataJob,
    send: Send,
    decide: Decide,
    *,
    canceled: Callable[[], bool],
    facts: Callable[[str], PlanFacts],
) -> None:
    """A snapshot or a restore. The last event says that it was done; without it, it was not. DataError."""
    progress = _progress(send, canceled)
    if data.verb == "snapshot":
        job_snapshot(job.spec, data, progress, _teller(send))
        _done(send)
    elif job_restore(job.spec, data, progress, _decider(job.spec, data, send, decide, facts)):
        _done(send)


def data_finish(
    job: RunnerJob, data: DataJob, send: Send, decide: Decide, *, canceled: Callable[[], bool]
) -> bool:
    """What a deprovision does before it destroys; True when the parent, knowing of it, lets the destroy begin."""
    job_final(job.spec, job.secrets, data, _progress(send, canceled), _teller(send))
    return decide().proceed


def _progress(send: Send, canceled: Callable[[], bool]) -> Progress:
    def phase(name: str, state: str, detail: str) -> None:
        send(EngineEvent(kind="phase", data={"name": name, "state": state, "detail": detail}))

    return Progress(phase=phase, canceled=canceled)


def _teller(send: Send) -> Callable[[dict[str, Any]], None]:
    return lambda taken: send(EngineEvent(kind="state", data={"taken": taken}))


def _done(send: Send) -> None:
    send(EngineEvent(kind="state", data={"version": 0}))


def _decider(
    spec: StackSpec, data: DataJob, send: Send, decide: Decide, facts: Callable[[str], PlanFacts]
) -> Callable[[SnapshotManifest, list[dict[str, object]]], bool]:
    def decided(manifest: SnapshotManifest, plan: list[dict[str, object]]) -> bool:
        summary = PlanSummary(replace=len(plan)).model_dump()
        send(EngineEvent(kind="summary", data={**summary, "duration_s": 0, "phase": "preview"}))
        known = facts(data.manifest_sha256).model_dump()
        judged = data_assess(spec, plan).model_dump(mode="json")
        send(EngineEvent(kind="state", data={"plan": plan, "facts": known, "assessment": judged}))
        detail = f"Every file is whole: {manifest.tenant} as of {manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC."
        send(EngineEvent(kind="phase", data={"name": "check", "state": "finished", "detail": detail}))
        return decide().proceed

    return decided
