"""What every change by a person or a sweep leaves behind: the timeline entry, the audit row, the doorbell."""

from datetime import datetime
from typing import Any

from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict
from controlplane.operations import states
from controlplane.operations.doorbell import doorbell_ring_on_commit
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation
from controlplane.operations.subject import operation_subject
from controlplane.operations.transitions import steps_end


def operation_requeued(operation: Operation, actor: str, verb: str, now: datetime, **extra: Any) -> None:
    operation.refresh_from_db()
    data = {"state": states.QUEUED, "attempt": operation.attempt, "by": actor, "verb": verb}
    events_append(operation_id=operation.id, at=now, events=[("state", {**data, **extra})])
    trail_audit(operation, actor, verb, now, **extra)
    doorbell_ring_on_commit()


def operation_ended(operation: Operation, actor: str, verb: str, reason: str, now: datetime) -> None:
    operation.refresh_from_db()
    steps_end(operation, states.STEP_SKIPPED, verb.capitalize(), now)
    data = {"state": operation.state, "by": actor, "verb": verb, "reason": reason}
    events_append(operation_id=operation.id, at=now, events=[("state", data)])
    operation_subject().finished(operation=operation, now=now)
    trail_audit(operation, actor, verb, now, reason=reason)


def trail_audit(operation: Operation, actor: str, verb: str, now: datetime, **data: Any) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"operation.{operation.kind}.{verb}",
        subject_type="operation",
        subject_id=str(operation.id),
        team_id=operation.tenant.team_id,
        data=data,
    )


def operation_conflict(
    operation: Operation, verb: str, why: str, *, code: str = "operation_state"
) -> Conflict:
    operation.refresh_from_db()
    return Conflict(
        f"Cannot {verb} this operation: {why}; it is {operation.state}.",
        code=code,
        hint=f"freehold operations show {operation.id}",
        extra={"state": operation.state},
    )
