"""Carries out one claimed operation: starts the runner, feeds the timeline, keeps the lease, ends the operation.

Steps: plan (what would change) -> a decision -> apply -> record (outputs, spans) -> verify (a look from outside).
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction

from contracts.engine import EngineEvent, PlanFacts, RunnerJob
from contracts.planned import PlanAssessment
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, OperatorError
from controlplane.operations import states, transitions
from controlplane.operations.binding import PlanBinding
from controlplane.operations.data_jobs import data_job_of, scratch_remove, snapshot_taken
from controlplane.operations.events import events_append
from controlplane.operations.failures import (
    deadline_failure,
    died_failure,
    executor_failure,
    unverified_failure,
)
from controlplane.operations.fence import fence_drop
from controlplane.operations.job import runner_job
from controlplane.operations.judgement import denied_failure, plan_sentence
from controlplane.operations.leases import MAX_TAKEOVERS, LeaseLostError, lease_hold, operation_take_over
from controlplane.operations.logs import operation_log_path
from controlplane.operations.models import Operation
from controlplane.operations.planning import plan_bind, plan_objection
from controlplane.operations.process import (
    RunnerProcess,
    operation_mark,
    work_dir_remove,
)
from controlplane.operations.progress import MadeChanges
from controlplane.operations.record import stack_lock_suspect, stack_record, stack_record_partial
from controlplane.operations.subject import operation_subject
from controlplane.operations.watch import RunWatch
from embedded.crashpoints import crash_point
from embedded.processes import processes_kill

log = structlog.get_logger()

_TICK_S = 0.25


def operation_execute(operation: Operation) -> None:
    """Runs a claimed operation to its end. Every outcome is stored; only a lost lease leaves silently."""
    try:
        _Execution(operation).run()
    except LeaseLostError:
        log.warning("operation.lease_lost", operation=str(operation.id))
    except (OperationalError, InterfaceError) as error:
        # The database went away under us: the runner is ended, the lease runs out, and the operation is taken over.
        log.warning("operation.database_lost", operation=str(operation.id), error=type(error).__name__)
    except FreeholdError as error:  # what the operation needs is not there any more
        transitions.operation_fail(
            operation=operation,
            error={
                "code": error.code,
                "title": error.title,
                "detail": error.detail,
                "hint": error.hint,
                "resource": None,
            },
            now=clock.now(),
        )
    except Exception as error:  # a surprise of ours must not leave the operation running for ever
        log.exception("operation.executor_failed", operation=str(operation.id))
        transitions.operation_fail(
            operation=operation,
            error=executor_failure(error, operation.id),
            now=clock.now(),
        )


class _Execution:
    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        assert operation.lease_token is not None, "only a claimed operation is executed"
        self.token = operation.lease_token
        self.spec = StackSpec.model_validate(operation.spec)
        self.data = data_job_of(operation, self.token)
        self.watch = RunWatch(operation)
        self.failure: dict[str, Any] | None = None
        self.outputs: dict[str, Any] = {"values": {}, "secrets": {}}
        self.state: dict[str, Any] = {}
        self.made = MadeChanges()
        #: Why the plan waits for a person, and which parts of an approved one moved; told once the runner is gone.
        self.parked: tuple[str, list[str]] | None = None

    # --- the whole way -------------------------------------------------------------------------------
    def run(self) -> None:
        crash_point("executor.claimed")
        try:
            runner = RunnerProcess(
                self._job(), lease_token=self.token, log_path=operation_log_path(self.operation)
            )
            try:
                code = self._attend(runner)
            except BaseException:
                runner.kill()
                stack_lock_suspect(self.operation)
                raise
        finally:
            work_dir_remove(self.operation.id, self.token)
            if self.data is not None:
                scratch_remove(self.operation, self.token)
            # A role left behind by a state database that is away is swept later.
            with suppress(OperatorError):
                fence_drop(operation_id=self.operation.id, lease_token=self.token)
        crash_point("executor.runner-ended")
        cut_off = code != 0 and self._cut_off()
        applied = code == 0 and self.failure is None and "version" in self.state
        if self.parked is not None and self.watch.stop_reason != "cancel":
            self._park(*self.parked)
        elif self.watch.stop_reason == "cancel" and not applied:
            self._note_partial()
            transitions.operation_canceled(operation=self.operation, now=clock.now())
        elif cut_off and not self.watch.stop_reason and self.operation.takeovers < MAX_TAKEOVERS:
            self._requeue()
        elif self.failure is not None or code != 0 or (self.watch.stop_reason and not applied):
            self._note_partial()
            transitions.operation_fail(
                operation=self.operation, error=self._failure(runner, code), now=clock.now()
            )
        else:
            self._settle()

    def _cut_off(self) -> bool:
        """After a run that did not succeed: whether runner or engine were killed, rather than told a failure.

        A CLI or plugin that outlived its runner would go on changing things; and what was killed left its lock.
        """
        processes_kill(operation_mark(self.operation.id, self.token))
        told = self.failure is not None and not self.failure.pop("interrupted", False)
        if self.watch.killed or not told:
            stack_lock_suspect(self.operation)
        return not told

    def _requeue(self) -> None:
        """Nothing is wrong with the operation: as after the death of a worker, the next attempt goes on."""
        if not operation_take_over(
            operation=self.operation, ended=0, fenced=True, now=clock.now(), by="system:executor"
        ):
            raise LeaseLostError

    def _note_partial(self) -> None:
        """What an apply that did not finish left behind is shown too: it exists."""
        if "resources" in self.state:
            stack_record_partial(operation=self.operation, state=self.state, now=clock.now())

    def _failure(self, runner: RunnerProcess, code: int) -> dict[str, Any]:
        # An engine stopped for its deadline calls that a cancel of its own: the deadline is the cause.
        if self.failure is not None and self.watch.stop_reason != "deadline":
            return self.failure
        if self.watch.stop_reason == "deadline":
            return deadline_failure(settings.FREEHOLD_OPERATION_DEADLINE_S)
        return died_failure(code, runner.log_tail())

    def _settle(self) -> None:
        """After the engine succeeded: remember what exists, then look at it from outside."""
        self.watch.lease_keep()
        if self.operation.kind not in states.STACK_UNTOUCHED:
            self._step_begin(states.STEP_RECORD)
            with transaction.atomic():
                lease_hold(operation=self.operation)
                detail = stack_record(
                    operation=self.operation, outputs=self.outputs, state=self.state, now=clock.now()
                )
            crash_point("executor.recorded")
            self._step_end(states.STEP_RECORD, detail)
        if states.STEP_VERIFY in states.STEPS_OF_KIND[self.operation.kind]:
            self._step_begin(states.STEP_VERIFY)
            verification = operation_subject().verify(operation=self.operation, alive=self.watch.lease_keep)
            if not verification.ok:
                error = unverified_failure(verification.code, verification.detail, verification.hint)
                transitions.operation_fail(operation=self.operation, error=error, now=clock.now())
                return
            self._step_end(states.STEP_VERIFY, verification.detail)
            crash_point("executor.verified")
        transitions.operation_succeed(operation=self.operation, now=clock.now())

    # --- the runner ----------------------------------------------------------------------------------
    def _job(self) -> RunnerJob:
        return runner_job(operation=self.operation, lease_token=self.token, spec=self.spec, data=self.data)

    def _attend(self, runner: RunnerProcess) -> int:
        if states.STEPS_OF_KIND[self.operation.kind][0] not in states.PLANNING_STEPS:
            self._begin_apply()
        batch: list[tuple[str, Mapping[str, Any]]] = []
        while True:
            try:
                event = runner.next(_TICK_S)
                if event is not None:
                    for each in (event, *runner.drain()):
                        self._handle(each, runner, batch)
            except EOFError:
                self._flush(batch)
                return runner.close()
            self._flush(batch)
            self.watch.look(runner)

    def _handle(
        self, event: EngineEvent, runner: RunnerProcess, batch: list[tuple[str, Mapping[str, Any]]]
    ) -> None:
        data = event.data
        match event.kind:
            case "phase":
                self._flush(batch)
                self._phase(str(data["name"]), str(data["state"]), runner, str(data.get("detail", "")))
            case "resource" | "diagnostic":
                batch.append((event.kind, data))
                if event.kind == "resource" and self.made.add(data):
                    self._progress()
            case "summary":
                batch.append(("summary", data))
                if data.get("phase") == "preview":
                    self.summary = {
                        key: data[key] for key in ("create", "update", "replace", "delete", "same")
                    }
            case "state" if "plan" in data:
                self.plan = list(data["plan"])
                self.facts = PlanFacts.model_validate(data["facts"])
                self.assessment = PlanAssessment.model_validate(data["assessment"])
            case "state" if "taken" in data:
                snapshot_taken(operation=self.operation, taken=data["taken"], now=clock.now())
            case "state":
                self.state = data
            case "outputs":
                self.outputs = data
            case "failed":
                self.failure = data
            case "finished":
                pass

    def _phase(self, name: str, state: str, runner: RunnerProcess, detail: str = "") -> None:
        step = {"preview": states.STEP_PLAN}.get(
            name, name if name in states.DATA_STEPS else states.STEP_APPLY
        )
        if state == "started":
            self._step_begin(step)
        elif name == "preview":
            self._planned(runner, step, plan_sentence(self.summary, self.assessment))
        elif name == states.STEP_CHECK and self.operation.kind == states.RESTORE:
            self._planned(runner, step, detail)
        else:
            self._step_end(step, detail or "The engine reached the wanted state.")
            if name == states.STEP_SNAPSHOT:
                # The snapshot is known now, so the destroy may begin.
                runner.decide(not self.watch.stop_reason)

    def _planned(self, runner: RunnerProcess, step: str, sentence: str) -> None:
        self.binding = plan_bind(
            operation=self.operation,
            facts=self.facts,
            plan=self.plan,
            assessment=self.assessment,
            now=clock.now(),
        )
        stored = transitions.operation_planned(
            operation=self.operation,
            summary=self.summary,
            plan=self.plan,
            assessment=self.assessment,
            binding=self.binding,
        )
        if not stored:
            raise LeaseLostError
        self._step_end(step, sentence)
        crash_point("executor.planned")
        self._decide(runner)

    def _decide(self, runner: RunnerProcess) -> None:
        """After the plan: stop (a preview), park for a person, or go on."""
        if self.operation.kind == states.PREVIEW or self.watch.stop_reason:
            runner.decide(False)
            return
        if self.assessment.policy.denied:
            self.failure = denied_failure(self.assessment.policy)
            runner.decide(False)
            return
        objection = plan_objection(operation=self.operation, binding=self.binding, assessment=self.assessment)
        if objection is not None:
            self.parked = objection
            runner.decide(False)
        else:
            self._begin_apply()
            runner.decide(
                True, state_hash=self.binding.state_hash if self.operation.approved_binding else None
            )

    def _park(self, reason: str, moved: list[str]) -> None:
        """Leaves the plan to a person; when an approved one no longer stands, says which part moved."""
        parked = transitions.operation_await_approval(
            operation=self.operation, reason=reason, moved=moved, now=clock.now()
        )
        if not parked:
            raise LeaseLostError

    def _begin_apply(self) -> None:
        if not transitions.operation_apply_begin(operation=self.operation, now=clock.now()):
            raise LeaseLostError
        if self.data is None:
            self._step_begin(states.STEP_APPLY)
        crash_point("executor.applying")

    # --- small writes --------------------------------------------------------------------------------
    summary: dict[str, Any] = {}
    plan: list[dict[str, Any]] = []
    facts: PlanFacts
    assessment: PlanAssessment
    binding: PlanBinding

    def _flush(self, batch: list[tuple[str, Mapping[str, Any]]]) -> None:
        if batch:
            events_append(operation_id=self.operation.id, at=clock.now(), events=batch)
            batch.clear()

    def _progress(self) -> None:
        done = min(len(self.made), self.operation.progress_total or len(self.made))
        self.operation.progress_done = done
        Operation.objects.filter(pk=self.operation.pk, lease_token=self.operation.lease_token).update(
            progress_done=done
        )

    def _step_begin(self, name: str) -> None:
        transitions.step_begin(operation=self.operation, name=name, now=clock.now())

    def _step_end(self, name: str, detail: str) -> None:
        transitions.step_end(operation=self.operation, name=name, detail=detail, now=clock.now())
