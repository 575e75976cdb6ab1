"""What the holder of the lease does to its operation and steps. Every move is a guarded update."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F

from contracts.planned import PlanAssessment
from controlplane.core.audit import audit_record
from controlplane.core.redaction import own_redactor
from controlplane.operations import states
from controlplane.operations.binding import PlanBinding
from controlplane.operations.counts import step_counts
from controlplane.operations.doorbell import doorbell_ring_on_commit
from controlplane.operations.events import events_append
from controlplane.operations.locks import operation_lock_for_events
from controlplane.operations.models import Operation
from controlplane.operations.remainder import step_remainder
from controlplane.operations.subject import operation_subject


def _move(
    operation: Operation, to: str, *, now: datetime, fields: Mapping[str, Any], data: Mapping[str, Any]
) -> bool:
    """One guarded move by the holder of the lease, with its timeline entry. False when the guard refused."""
    with transaction.atomic():
        moved = Operation.objects.filter(
            pk=operation.pk, state__in=states.ALLOWED_FROM[to], lease_token=operation.lease_token
        ).update(state=to, **fields)
        if moved != 1:
            return False
        operation.refresh_from_db()
        events_append(operation_id=operation.id, at=now, events=[("state", {"state": to, **data})])
        if to in states.TERMINAL:
            operation_subject().finished(operation=operation, now=now)
            audit_record(
                at=now,
                actor=f"executor:{operation.lease_owner}",
                action=f"operation.{operation.kind}.{to}",
                subject_type="operation",
                subject_id=str(operation.id),
                team_id=operation.tenant.team_id,
                data={"error": (operation.error or {}).get("code")} if operation.error else {},
            )
            doorbell_ring_on_commit()
    return True


def operation_planned(
    *,
    operation: Operation,
    summary: Mapping[str, Any],
    plan: list[dict[str, Any]],
    assessment: PlanAssessment,
    binding: PlanBinding,
) -> bool:
    """Stores what the engine would do, and what that was computed from. False when the lease is another's."""
    total = sum(int(summary.get(key, 0)) for key in ("create", "update", "replace", "delete"))
    stored = Operation.objects.filter(pk=operation.pk, lease_token=operation.lease_token).update(
        plan_summary=dict(summary),
        plan=plan,
        progress_total=total,
        binding=binding.model_dump(mode="json"),
        assessment=assessment.model_dump(mode="json"),
    )
    if stored == 1:
        operation.refresh_from_db(fields=["plan_summary", "plan", "progress_total", "binding", "assessment"])
    return stored == 1


def operation_await_approval(*, operation: Operation, reason: str, moved: list[str], now: datetime) -> bool:
    """Parks the operation with its fresh plan. `moved` names the parts by which an approved plan went stale."""
    data: dict[str, Any] = {"why": reason}
    if moved:
        data["plan_stale"] = moved
    fields = {
        "lease_expires_at": None,
        "approval_reason": reason[:500],
        "approved_by": "",
        "approved_binding": None,
    }
    return _move(operation, states.AWAITING_APPROVAL, now=now, fields=fields, data=data)


def operation_apply_begin(*, operation: Operation, now: datetime) -> bool:
    with transaction.atomic():
        moved = _move(operation, states.APPLYING, now=now, fields={}, data={})
        if moved:
            operation_subject().applying(operation=operation, now=now)
        return moved


def operation_succeed(*, operation: Operation, now: datetime) -> bool:
    fields = {"finished_at": now, "lease_expires_at": None, "progress_done": F("progress_total")}
    return _move(operation, states.SUCCEEDED, now=now, fields=fields, data={})


def operation_fail(*, operation: Operation, error: Mapping[str, Any], now: datetime) -> bool:
    """`error` is {code, title, detail, hint} and may name the failed resource."""
    error = _addressed(own_redactor().value(error), operation)
    with transaction.atomic():
        failed = _move(
            operation,
            states.FAILED,
            now=now,
            fields={"finished_at": now, "lease_expires_at": None, "error": dict(error)},
            data={"error": dict(error)},
        )
        if failed:
            steps_end(operation, states.STEP_FAILED, str(error.get("title", "")), now)
        return failed


def _addressed(error: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """With the commands of the hint ready to be run: ID and SLUG filled in."""
    hint = re.sub(r"\bID\b", str(operation.id), str(error.get("hint", "")))
    return {**error, "hint": re.sub(r"\bSLUG\b", operation.tenant.slug, hint)}


def operation_canceled(*, operation: Operation, now: datetime) -> bool:
    """Ends a running operation whose cancel was carried out."""
    with transaction.atomic():
        canceled = _move(
            operation,
            states.CANCELED,
            now=now,
            fields={"finished_at": now, "lease_expires_at": None},
            data={},
        )
        if canceled:
            steps_end(operation, states.STEP_SKIPPED, "Canceled.", now)
        return canceled


def steps_end(operation: Operation, state: str, detail: str, now: datetime) -> None:
    """Ends the steps of an operation that stops early; the running one says what it had done and what not."""
    for step in operation.steps.filter(state=states.STEP_RUNNING):
        told = f"{detail} {step_remainder(step)}".strip()
        operation.steps.filter(pk=step.pk, state=states.STEP_RUNNING).update(
            state=state, detail=told[:500], finished_at=now, counts=step_counts(step, until=now)
        )
    operation.steps.filter(state=states.STEP_PENDING).update(state=states.STEP_SKIPPED)


def step_begin(*, operation: Operation, name: str, now: datetime) -> None:
    with transaction.atomic():
        operation_lock_for_events(operation.id)
        moved = (
            # Only the holder of the lease speaks of steps: one that lost it may still be running.
            operation.steps.filter(name=name, operation__lease_token=operation.lease_token)
            .exclude(state=states.STEP_RUNNING)
            .update(state=states.STEP_RUNNING, started_at=now, finished_at=None, detail="")
        )
        if moved:
            events_append(
                operation_id=operation.id,
                at=now,
                events=[("step", {"name": name, "state": states.STEP_RUNNING})],
            )


def step_end(*, operation: Operation, name: str, detail: str, now: datetime) -> None:
    with transaction.atomic():
        operation_lock_for_events(operation.id)
        held = operation.steps.filter(
            name=name, state=states.STEP_RUNNING, operation__lease_token=operation.lease_token
        )
        step = held.first()
        counts = step_counts(step, until=now) if step else None
        moved = held.update(state=states.STEP_SUCCEEDED, finished_at=now, detail=detail[:500], counts=counts)
        if moved:
            data = {"name": name, "state": states.STEP_SUCCEEDED, "detail": detail}
            events_append(operation_id=operation.id, at=now, events=[("step", data)])
