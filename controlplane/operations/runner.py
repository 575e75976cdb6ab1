"""The runner: one fresh process that carries one operation out with the real Pulumi engine.

`python -m controlplane.operations.runner`, started by the executor in a session of its own. Protocol:
contracts/engine.py. It knows no Django and no database; only it (and the fleet planner) imports `stacks`.

SIGINT goes to the whole process group: the CLI stops gracefully on the first one, this process lets it, and
reports what came of it.
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from contracts.engine import EngineEvent, RunnerDecision, RunnerJob
from contracts.redaction import Redactor
from contracts.snapshot import DataJob
from contracts.stack import StackSpec
from controlplane.operations.facts import facts_of, facts_of_data, state_export, state_hash
from controlplane.operations.failures import failure
from controlplane.operations.settling import pending_settle
from controlplane.operations.translate import PhaseLog, failure_of
from embedded.crashpoints import crash_point

if TYPE_CHECKING:  # imported where it is used: a job on data alone needs no engine
    from pulumi import automation as auto


class Reporter:
    """Writes events to the parent, one JSON document a line. Engine events arrive on a gRPC thread.

    What the engine says in words may quote a secret that this run was given: `redactor` keeps it out. Outputs alone
    carry secrets, and go to the parent for encryption.
    """

    def __init__(self, stream: TextIO, redactor: Redactor) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.redactor = redactor

    def send(self, event: EngineEvent) -> None:
        if event.kind in ("diagnostic", "failed"):
            event = event.model_copy(update={"data": self.redactor.value(event.data)})
        with self._lock:
            self._stream.write(event.model_dump_json() + "\n")
            self._stream.flush()


def _protocol_stream() -> TextIO:
    """Takes stdout for the protocol and points fd 1 at stderr, so that no library's print can break it."""
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stream


def _read_job() -> RunnerJob:
    return RunnerJob.model_validate_json(sys.stdin.readline())


def _read_decision() -> RunnerDecision:
    line = sys.stdin.readline()
    # A parent that died closes the pipe: without a decision nothing is applied.
    return RunnerDecision.model_validate_json(line) if line.strip() else RunnerDecision(proceed=False)


#: Set by SIGINT: work on data looks at it between its pieces.
interrupted = threading.Event()


def run_data(job: RunnerJob, reporter: Reporter, decide: Callable[[], RunnerDecision]) -> int:
    """Work on data alone, without the engine; 0 when it succeeded or was not to be applied, 1 when it failed."""
    from stacks.errors import StacksError
    from stacks.snapshots.runs import data_run

    assert job.data is not None
    try:
        data_run(job, job.data, reporter.send, decide, canceled=interrupted.is_set, facts=facts_of_data)
    except StacksError as error:
        reporter.send(EngineEvent(kind="failed", data=data_failure(error)))
        return 1
    reporter.send(EngineEvent(kind="finished"))
    return 0


def data_failure(error: Exception) -> dict[str, object]:
    from stacks.snapshots.errors import DataError, SnapshotFailed

    code = error.code if isinstance(error, DataError) else SnapshotFailed.code
    return failure(code, what="The work on the tenant's data failed", detail=str(error)[:4000])


def run(job: RunnerJob, reporter: Reporter, decide: Callable[[], RunnerDecision]) -> int:
    """Carries the job out; 0 when it succeeded or was not to be applied, 1 when it failed."""
    from pulumi import automation as auto

    from stacks.assessment import plan_assess
    from stacks.errors import StacksError

    log = PhaseLog("preview")
    try:
        stack = _stack_of(job, job.spec)
        crash_point("runner.selected")
        if job.clear_lock:
            # Permitted because the executor has proven the lock's holder dead or barred.
            stack.cancel()
            crash_point("runner.lock-cleared")
        if job.settle_pending and _settle(job, stack, reporter):
            # Adopted resources stand in the state as their inputs only: look at what they really are.
            job = job.model_copy(update={"refresh": True})
            crash_point("runner.settled")
        if job.preview_first and job.action in ("preview", "up", "destroy"):
            _phase(reporter, "preview", "started")
            if job.action == "destroy":
                stack.preview_destroy(on_event=_forward(log, reporter), color="never", refresh=job.refresh)
            else:
                stack.preview(on_event=_forward(log, reporter), color="never", diff=True, refresh=job.refresh)
            facts = facts_of(job, stack)
            judged = plan_assess(job.spec, list(log.plan.planned.values()), job.assessment)
            told = {
                "plan": log.plan.rows,
                "facts": facts.model_dump(),
                "assessment": judged.model_dump(mode="json"),
            }
            reporter.send(EngineEvent(kind="state", data=told))
            crash_point("runner.planned")
            _phase(reporter, "preview", "finished")
            decision = decide()
            if job.action == "preview" or not decision.proceed:
                reporter.send(EngineEvent(kind="finished"))
                return 0
            if decision.state_hash is not None and state_hash(job, stack) != decision.state_hash:
                # The last look before the first change: somebody else wrote the state after our plan.
                reporter.send(EngineEvent(kind="failed", data=_stale()))
                return 1
        log = PhaseLog(job.action)
        if job.data is not None and not _data_finish(job, job.data, reporter, decide):
            return 0
        crash_point("runner.applying")
        _apply(job, stack, log, reporter)
        crash_point("runner.applied")
    except Exception as error:  # whatever went wrong, the operator sees the engine's own words
        if isinstance(error, StacksError) and job.data is not None and log.phase != "preview":
            reporter.send(EngineEvent(kind="failed", data=data_failure(error)))
            return 1
        if not isinstance(error, auto.CommandError):
            import traceback

            sys.stderr.write(reporter.redactor.text(traceback.format_exc()))
        if log.phase != "preview":
            made = {"resources": list(log.resources.values()), "deleted": sorted(log.deleted)}
            reporter.send(EngineEvent(kind="state", data={**made, **_existing(job, stack)}))
        reporter.send(EngineEvent(kind="failed", data=failure_of(log, error)))
        return 1
    reporter.send(EngineEvent(kind="finished"))
    return 0


def _stack_of(job: RunnerJob, spec: StackSpec) -> "auto.Stack":
    """The job's stack, bound to the program of a spec."""
    from pulumi import automation as auto

    from stacks.targets import target_program

    return auto.create_or_select_stack(
        stack_name=spec.qualified_stack_name,
        project_name=spec.project,
        program=target_program(spec, job.secrets),
        opts=auto.LocalWorkspaceOptions(
            work_dir=job.work_dir,
            env_vars=dict(job.env),
            pulumi_command=auto.PulumiCommand(root=job.pulumi_root),
            secrets_provider=job.secrets_provider,
            project_settings=auto.ProjectSettings(name=spec.project, runtime="python"),
        ),
    )


def _settle(job: RunnerJob, stack: "object", reporter: Reporter) -> bool:
    """Adopts or drops what a killed run had begun to create; True when something was pending."""
    from pulumi import automation as auto

    from stacks.finding import resource_finder

    assert isinstance(stack, auto.Stack)
    settlement = pending_settle(state_export(job, stack), find=resource_finder(job.spec))
    if settlement.deployment is None:
        return False
    file = Path(job.work_dir) / "settled.json"
    file.write_text(json.dumps(settlement.deployment), encoding="utf-8")
    argv = ["stack", "import", "--stack", job.spec.qualified_stack_name, "--file", str(file)]
    stack.workspace.pulumi_command.run(argv, job.work_dir, dict(job.env))
    data = {
        "severity": "info",
        "message": settlement.sentence(),
        "urn": "",
        "phase": "settle",
        "adopted": settlement.adopted,
        "dropped": settlement.dropped,
    }
    reporter.send(EngineEvent(kind="diagnostic", data=data))
    return True


def _existing(job: RunnerJob, stack: "object") -> dict[str, object]:
    """What costs now, by the state the engine left; nothing when it cannot be read, so that nothing is assumed."""
    from pulumi import automation as auto

    from stacks.targets import target_existing

    assert isinstance(stack, auto.Stack)
    try:
        deployment = state_export(job, stack).get("deployment") or {}
        found = target_existing(job.spec, deployment.get("resources") or [])
    except Exception as error:
        print(f"the state could not be read for what exists: {type(error).__name__}", file=sys.stderr)
        return {}
    return {"existing": found.model_dump(mode="json")}


def _data_finish(
    job: RunnerJob, data: DataJob, reporter: Reporter, decide: Callable[[], RunnerDecision]
) -> bool:
    """What comes before a destroy; False when the destroy is not to begin."""
    from stacks.snapshots.runs import data_finish

    if data_finish(job, data, reporter.send, decide, canceled=interrupted.is_set):
        return True
    reporter.send(EngineEvent(kind="finished"))
    return False


def _stale() -> dict[str, object]:
    return {
        "code": "plan_stale",
        "title": "The stack's state moved after the plan was approved",
        "detail": "Nothing was changed.",
        "hint": "Retry: a fresh plan is computed and waits for approval.",
        "resource": None,
    }


def _apply(job: RunnerJob, stack: "object", log: PhaseLog, reporter: Reporter) -> None:
    from pulumi import automation as auto

    assert isinstance(stack, auto.Stack)
    _phase(reporter, job.action, "started")
    forward = _forward(log, reporter)
    version = 0
    if job.action == "up":
        result = stack.up(on_event=forward, color="never", refresh=job.refresh)
        version = int(result.summary.version or 0)
        _report_outputs(result.outputs, reporter)
    elif job.action == "refresh":
        refreshed = stack.refresh(on_event=forward, color="never")
        version = int(refreshed.summary.version or 0)
        _report_outputs(stack.outputs(), reporter)
    else:
        destroyed = _destroy(job, stack, forward, reporter)
        version = int(destroyed.summary.version or 0)
        if job.remove_stack:
            stack.workspace.remove_stack(job.spec.qualified_stack_name)
    resources = sorted(log.resources.values(), key=lambda resource: str(resource["urn"]))
    reporter.send(EngineEvent(kind="state", data={"version": version, "resources": resources}))
    _phase(reporter, job.action, "finished")


def _destroy(
    job: RunnerJob, stack: "auto.Stack", forward: Callable[["object"], None], reporter: Reporter
) -> "auto.DestroyResult":
    from stacks.destroying import stack_destroy

    def tell(sentence: str) -> None:
        data = {"severity": "info", "message": sentence, "urn": "", "phase": job.action}
        reporter.send(EngineEvent(kind="diagnostic", data=data))

    def resources() -> list[dict[str, Any]]:
        exported = state_export(job, stack).get("deployment") or {}
        return list(exported.get("resources") or [])

    return stack_destroy(
        job.spec,
        stack_of=lambda spec: stack if spec is job.spec else _stack_of(job, spec),
        resources_of=resources,
        on_event=forward,
        tell=tell,
        canceled=interrupted.is_set,
        refresh=job.refresh,
    )


def _report_outputs(outputs: "object", reporter: Reporter) -> None:
    from pulumi import automation as auto

    assert isinstance(outputs, dict)
    values: dict[str, object] = {}
    secrets: dict[str, object] = {}
    for name, output in outputs.items():
        assert isinstance(output, auto.OutputValue)
        (secrets if output.secret else values)[name] = output.value
    reporter.send(EngineEvent(kind="outputs", data={"values": values, "secrets": secrets}))


def _phase(reporter: Reporter, name: str, state: str) -> None:
    reporter.send(EngineEvent(kind="phase", data={"name": name, "state": state}))


def _forward(log: PhaseLog, reporter: Reporter) -> Callable[["object"], None]:
    def forward(event: "object") -> None:
        from pulumi import automation as auto

        assert isinstance(event, auto.EngineEvent)
        translated = log.translate(event)
        if translated is not None:
            reporter.send(translated)

    return forward


def main() -> int:
    # The CLI in our process group acts on SIGINT; this process outlives it to report.
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    stream = _protocol_stream()
    job = _read_job()
    carry_out = run_data if job.action == "data" else run
    return carry_out(job, Reporter(stream, _redactor(job)), _read_decision)


#: Of the environment, what is a secret itself.
_SECRET_VARIABLES = (
    "PULUMI_BACKEND_URL",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
)


def _redactor(job: RunnerJob) -> Redactor:
    from stacks.components.passwords import passwords_known

    passphrase = Path(job.env.get("PULUMI_CONFIG_PASSPHRASE_FILE", ""))
    known = [*job.secrets.each(), *map(job.env.get, _SECRET_VARIABLES)]
    known += passwords_known(job.spec, job.secrets)
    if job.data is not None:
        known.append(job.data.key)
    if passphrase.is_file():
        known.append(passphrase.read_text(encoding="utf-8").strip())
    return Redactor(known)


if __name__ == "__main__":
    sys.exit(main())
