"""The plan of a stack that nobody asked for yet: the real engine over an empty state that is thrown away.

Nothing is created and nothing is stored; the programs, the policy rules and the price tables are those of every
other plan. It runs where operations run, since the engine and the credentials of clouds are there.
"""

import secrets
import time
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings

from contracts.base import Contract
from contracts.engine import EngineEvent, RunnerJob
from contracts.planned import PlanAssessment
from contracts.stack import StackSecrets, StackSpec
from controlplane.core.errors import FreeholdError
from controlplane.core.ids import uuid7
from controlplane.operations.job import assessment_job, engine_environment
from controlplane.operations.process import RunnerProcess, work_dir_prepare, work_dir_remove

#: A plan of an empty state takes some seconds; what takes longer hangs.
DEADLINE_S: Final = 90.0
_TICK_S: Final = 0.25


class DryRunFailed(FreeholdError):
    """The engine could not plan it; the words are the engine's, as those of a failed operation."""

    status = 422
    code = "plan_failed"
    title = "The stack could not be planned"


class DryRun(Contract):
    """`plan` are rows as an operation's plan has them."""

    plan: list[dict[str, Any]]
    assessment: PlanAssessment


def dry_run_plan(*, spec: StackSpec, deadline_s: float = DEADLINE_S) -> DryRun:
    """Raises DryRunFailed when the engine refuses, dies, or takes longer than the deadline."""
    run_id = uuid7()
    folder = work_dir_prepare(run_id, run_id)
    try:
        runner = RunnerProcess(_job(run_id, folder, spec), lease_token=run_id, log_path=folder / "runner.log")
        try:
            return _attend(runner, deadline_s)
        finally:
            runner.kill()
            runner.close()
    finally:
        work_dir_remove(run_id)


def _job(run_id: UUID, folder: Path, spec: StackSpec) -> RunnerJob:
    state = folder / "state"
    state.mkdir(mode=0o700)
    passphrase = folder / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text(secrets.token_hex(32), encoding="utf-8")
    env = engine_environment(
        pulumi_home=folder / "home", backend_url=f"file://{state}", target=spec.target
    ) | {"PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase)}
    return RunnerJob(
        operation_id=run_id,
        action="preview",
        spec=spec,
        secrets=_made_up(),
        pulumi_root=str(settings.FREEHOLD_PULUMI),
        work_dir=str(folder / "project"),
        env=env,
        assessment=assessment_job(),
    )


def _made_up() -> StackSecrets:
    """Values of the right shape: the real ones are made with the tenant."""
    word = secrets.token_hex(32)
    return StackSecrets(usage_token=word, runtime_admin_key=word, password_seed=word)


def _attend(runner: RunnerProcess, deadline_s: float) -> DryRun:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            event = runner.next(_TICK_S)
        except EOFError:
            break
        if event is not None and (found := _result(event)) is not None:
            runner.decide(proceed=False)
            return found
    else:
        raise DryRunFailed(
            f"The engine gave no plan within {deadline_s:.0f} s.",
            hint="Ask again, or create the tenant with a stop after its plan.",
        )
    raise DryRunFailed(
        f"The engine ended without a plan. {runner.log_tail(300)}".strip(), hint="Run `freehold doctor`."
    )


def _result(event: EngineEvent) -> DryRun | None:
    if event.kind == "failed":
        data = event.data
        raise DryRunFailed(f"{data['title']}. {data['detail']}"[:2000], hint=str(data["hint"]))
    if event.kind == "state" and "plan" in event.data:
        return DryRun(plan=event.data["plan"], assessment=event.data["assessment"])
    return None
