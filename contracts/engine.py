"""The runner's protocol: one job on stdin, JSON lines out, one decision in.

The parent (executor) writes a RunnerJob as the first line of the runner's stdin. The runner answers with
EngineEvents, one JSON document a line on stdout. When a job wants `preview` and `apply`, the runner stops
after the preview and waits for a RunnerDecision line; before a destroy that follows a final snapshot it asks for
a second one, so that the snapshot is known before anything is destroyed.
"""

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Contract
from contracts.planned import AssessmentJob
from contracts.snapshot import DataJob
from contracts.stack import StackSecrets, StackSpec

Action = Literal["preview", "up", "destroy", "refresh", "data"]


class RunnerJob(Contract):
    operation_id: UUID
    action: Action
    spec: StackSpec
    secrets: Annotated[StackSecrets, Field(repr=False)]
    pulumi_root: str
    """The folder that holds `bin/pulumi`."""
    work_dir: str
    env: Annotated[dict[str, str], Field(repr=False)]
    """Environment of the Pulumi CLI: backend URL, passphrase file, PULUMI_HOME."""
    preview_first: bool = True
    refresh: bool = False
    """Look at what really exists before planning, so that what died or was changed by hand is put right."""
    assessment: AssessmentJob
    secrets_provider: str = "passphrase"
    clear_lock: bool = False
    """Remove a lock left by a run that is proven dead; never set while one may still live."""
    settle_pending: bool = False
    """Adopt or drop what a run that is proven dead had begun to create, before anything is planned."""
    remove_stack: bool = False
    """After a destroy that succeeded: forget the stack and its history."""
    data: DataJob | None = None
    """The action `data` is this job and nothing else; a `destroy` carries it out before it destroys anything."""


class RunnerDecision(Contract):
    """`state_hash` is what the state must still be when the apply begins; None when nothing was approved."""

    proceed: bool
    state_hash: str | None = None


class PlanFacts(Contract):
    """What a plan was computed from, as the runner saw it. An approval binds to these (design.md section 1).

    `program_hash` covers the source of the target programs, providers and contracts; `state_hash` the stack's
    exported state with secrets as ciphertext, empty for a stack without state.
    """

    program_hash: str
    state_hash: str
    cli_version: str
    sdk_version: str


class PlanSummary(Contract):
    """Counts of resources by what the engine would do or did."""

    create: int = 0
    update: int = 0
    replace: int = 0
    delete: int = 0
    same: int = 0


class EngineEvent(Contract):
    """One line from the runner.

    kinds: `phase` (data: name, state=started|finished, detail for steps on data), `resource` (data: urn, type,
    name, op, state=planned|started|done|failed, plus `diffs` when planned), `diagnostic` (severity, message, urn),
    `summary` (PlanSummary fields, duration_s, phase), `outputs` (values, secrets), `state` (version,
    resources; after a preview instead: plan, facts, assessment; after a snapshot: taken), `failed` (code, title,
    detail, hint, resource), `finished`.
    """

    kind: Literal["phase", "resource", "diagnostic", "summary", "outputs", "state", "failed", "finished"]
    data: dict[str, Any] = {}
