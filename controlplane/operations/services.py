"""Operations: creating, claiming, moving and ending them. Every move is a guarded update."""

import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from contracts.stack import StackSpec
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, PermissionDenied
from controlplane.operations import locks, states
from controlplane.operations.binding import APPROVE_STATEFUL, PlanBinding
from controlplane.operations.doorbell import doorbell_ring_on_commit
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation, Step
from controlplane.operations.subject import operation_subject


@transaction.atomic
def operation_create(
    *,
    tenant_id: UUID,
    team_id: UUID,
    kind: str,
    spec: StackSpec,
    actor: str,
    now: datetime,
    reason: str = "",
    requires_approval: bool = False,
    approval_rule: str = APPROVE_STATEFUL,
    priority: int = states.PRIORITY_PERSON,
) -> Operation:
    """Queues an operation with its steps and rings the doorbell once the transaction is through."""
    operation = Operation.objects.create(
        tenant_id=tenant_id,
        kind=kind,
        spec=spec.model_dump(mode="json"),
        requested_by=actor,
        reason=reason,
        requires_approval=requires_approval,
        approval_rule=approval_rule,
        priority=priority,
        created_at=now,
        queued_at=now,
    )
    Step.objects.bulk_create(
        Step(operation=operation, index=index, name=name)
        for index, name in enumerate(states.STEPS_OF_KIND[kind])
    )
    events_append(operation_id=operation.id, at=now, events=[("state", {"state": states.QUEUED})])
    audit_record(
        at=now,
        actor=actor,
        action=f"operation.{kind}.requested",
        subject_type="operation",
        subject_id=str(operation.id),
        team_id=team_id,
        data={"tenant": spec.slug, "reason": reason, "requires_approval": requires_approval},
    )
    doorbell_ring_on_commit()
    return operation


@transaction.atomic
def operation_claim(*, worker: str, now: datetime) -> Operation | None:
    """Takes the next operation whose stack is free, if a slot is. None when there is nothing to do."""
    locks.claim_lock()
    running = Operation.objects.filter(state__in=states.RUNNING)
    if running.count() >= settings.FREEHOLD_MAX_OPERATIONS:
        return None
    busy = running.filter(tenant_id=OuterRef("tenant_id"))
    candidate = (
        Operation.objects.filter(~Exists(busy), state=states.QUEUED)
        .order_by("priority", "queued_at", "id")
        .values_list("pk", flat=True)
        .first()
    )
    if candidate is None:
        return None
    token = uuid4()
    try:
        with transaction.atomic():
            moved = Operation.objects.filter(pk=candidate, state=states.QUEUED).update(
                state=states.PLANNING,
                started_at=now,
                finished_at=None,
                lease_token=token,
                lease_owner=f"{worker}@{socket.gethostname()}",
                lease_expires_at=lease_end(),
                error=None,
                progress_done=0,
                progress_total=0,
            )
    except IntegrityError:  # another claim won the stack: benign
        return None
    if moved != 1:
        return None
    operation = Operation.objects.get(pk=candidate)
    operation.spec = operation_subject().spec(operation=operation).model_dump(mode="json")
    operation.save(update_fields=["spec"])
    events_append(
        operation_id=operation.id,
        at=now,
        events=[("state", {"state": states.PLANNING, "attempt": operation.attempt})],
    )
    operation_subject().started(operation=operation, now=now)
    return operation


def lease_end() -> CombinedExpression:
    """When a lease taken now runs out, by the database's clock: workers' clocks may differ."""
    return Now() + timedelta(seconds=settings.FREEHOLD_LEASE_S)


def lease_renew(*, operation: Operation) -> bool:
    """True while the lease is ours. False: another may hold the operation, stop at once."""
    return (
        Operation.objects.filter(
            pk=operation.pk, lease_token=operation.lease_token, state__in=states.RUNNING
        ).update(lease_expires_at=lease_end())
        == 1
    )


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
    *, operation: Operation, summary: Mapping[str, Any], plan: list[dict[str, Any]], binding: PlanBinding
) -> bool:
    """Stores what the engine would do, and what that was computed from. False when the lease is another's."""
    total = sum(int(summary.get(key, 0)) for key in ("create", "update", "replace", "delete"))
    stored = Operation.objects.filter(pk=operation.pk, lease_token=operation.lease_token).update(
        plan_summary=dict(summary), plan=plan, progress_total=total, binding=binding.model_dump(mode="json")
    )
    if stored == 1:
        operation.refresh_from_db(fields=["plan_summary", "plan", "progress_total", "binding"])
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
    return _move(operation, states.APPLYING, now=now, fields={}, data={})


def operation_succeed(*, operation: Operation, now: datetime) -> bool:
    fields = {"finished_at": now, "lease_expires_at": None, "progress_done": F("progress_total")}
    return _move(operation, states.SUCCEEDED, now=now, fields=fields, data={})


def operation_fail(*, operation: Operation, error: Mapping[str, Any], now: datetime) -> bool:
    """`error` is {code, title, detail, hint} and may name the failed resource."""
    with transaction.atomic():
        failed = _move(
            operation,
            states.FAILED,
            now=now,
            fields={"finished_at": now, "lease_expires_at": None, "error": dict(error)},
            data={"error": dict(error)},
        )
        if failed:
            _steps_end(operation, states.STEP_FAILED, str(error.get("title", "")), now)
        return failed


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
            _steps_end(operation, states.STEP_SKIPPED, "Canceled.", now)
        return canceled


def _steps_end(operation: Operation, state: str, detail: str, now: datetime) -> None:
    operation.steps.filter(state=states.STEP_RUNNING).update(
        state=state, detail=detail[:500], finished_at=now
    )
    operation.steps.filter(state=states.STEP_PENDING).update(state=states.STEP_SKIPPED)


def lease_expired(*, operation: Operation) -> bool:
    """Whether the lease that was read is still the operation's and has run out, by the database's clock."""
    return Operation.objects.filter(
        pk=operation.pk,
        state__in=states.RUNNING,
        lease_token=operation.lease_token,
        lease_expires_at__lt=Now(),
    ).exists()


@transaction.atomic
def operation_take_over(*, operation: Operation, ended: int, now: datetime) -> bool:
    """Queues an operation again whose run is proven dead. False when it moved on or its lease was renewed."""
    moved = Operation.objects.filter(
        pk=operation.pk,
        state__in=states.RUNNING,
        lease_token=operation.lease_token,
        lease_expires_at__lt=Now(),
    ).update(
        state=states.QUEUED,
        attempt=F("attempt") + 1,
        takeovers=F("takeovers") + 1,
        queued_at=now,
        lease_token=None,
        lease_expires_at=None,
    )
    if moved != 1:
        return False
    owner = operation.lease_owner
    operation.steps.update(state=states.STEP_PENDING, started_at=None, finished_at=None, detail="")
    _requeued(operation, "system:reaper", "taken_over", now, lost=owner, processes_ended=ended)
    return True


def step_begin(*, operation: Operation, name: str, now: datetime) -> None:
    with transaction.atomic():
        moved = (
            operation.steps.filter(name=name)
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
        moved = operation.steps.filter(name=name, state=states.STEP_RUNNING).update(
            state=states.STEP_SUCCEEDED, finished_at=now, detail=detail[:500]
        )
        if moved:
            data = {"name": name, "state": states.STEP_SUCCEEDED, "detail": detail}
            events_append(operation_id=operation.id, at=now, events=[("step", data)])


@transaction.atomic
def operation_approve(
    *, operation: Operation, actor: str, now: datetime, plan_id: UUID | None = None, comment: str = ""
) -> Operation:
    """Approves the plan that is shown, and binds to it: the operation is queued, plans again under the lease, and
    applies only if nothing the plan was computed from has moved.

    Raises Conflict (`plan_stale`) when `plan_id` is not the plan that waits, or when that has expired;
    PermissionDenied when the requester approves where two persons are needed.
    """
    current = locks.operation_lock(operation.pk)
    if current.state != states.AWAITING_APPROVAL or current.binding is None:
        raise _conflict(operation, "approve", "only an operation that awaits approval can be approved")
    binding = PlanBinding.model_validate(current.binding)
    if plan_id is not None and plan_id != binding.plan_id:
        raise _conflict(
            operation, "approve", f"plan {plan_id} was replaced by {binding.plan_id}", code="plan_stale"
        )
    if binding.expires_at <= now:
        raise _conflict(operation, "approve", f"plan {binding.plan_id} expired", code="plan_stale")
    if settings.FREEHOLD_TWO_PERSON_APPROVAL and actor == current.requested_by:
        raise PermissionDenied(
            "Whoever requested an operation may not approve it.",
            code="second_person_needed",
            hint="Ask another person with the scope operations:approve.",
        )
    moved = Operation.objects.filter(pk=operation.pk, state=states.AWAITING_APPROVAL).update(
        state=states.QUEUED, approved_by=actor, approved_binding=current.binding, queued_at=now
    )
    if moved != 1:
        raise _conflict(operation, "approve", "it was decided meanwhile")
    _requeued(operation, actor, "approved", now, plan_id=str(binding.plan_id), comment=comment)
    return operation


@transaction.atomic
def approvals_expire(*, now: datetime) -> int:
    """Ends operations whose plan waited longer than it may. How many."""
    ended = 0
    for operation in Operation.objects.filter(
        state=states.AWAITING_APPROVAL, binding__expires_at__lte=moment_text(now)
    ):
        moved = Operation.objects.filter(pk=operation.pk, state=states.AWAITING_APPROVAL).update(
            state=states.CANCELED, finished_at=now
        )
        if moved == 1:
            _ended_by_person(
                operation, "system:expiry", "expired", "Nobody decided before the plan expired.", now
            )
            ended += 1
    return ended


@transaction.atomic
def operation_reject(*, operation: Operation, actor: str, reason: str, now: datetime) -> Operation:
    moved = Operation.objects.filter(pk=operation.pk, state=states.AWAITING_APPROVAL).update(
        state=states.CANCELED, finished_at=now
    )
    if moved != 1:
        raise _conflict(operation, "reject", "only an operation that awaits approval can be rejected")
    _ended_by_person(operation, actor, "rejected", reason, now)
    return operation


@transaction.atomic
def operation_cancel(*, operation: Operation, actor: str, now: datetime) -> Operation:
    """Cancels at once what no runner works on; asks the runner of a running one to stop."""
    waiting = (states.QUEUED, states.AWAITING_APPROVAL)
    if (
        Operation.objects.filter(pk=operation.pk, state__in=waiting).update(
            state=states.CANCELED, finished_at=now
        )
        == 1
    ):
        _ended_by_person(operation, actor, "canceled", "", now)
        return operation
    asked = Operation.objects.filter(
        pk=operation.pk, state__in=states.RUNNING, cancel_requested_at__isnull=True
    ).update(cancel_requested_at=now)
    if asked != 1:
        raise _conflict(operation, "cancel", "it has ended or is being canceled")
    operation.refresh_from_db()
    events_append(operation_id=operation.id, at=now, events=[("cancel", {"by": actor})])
    _audit(operation, actor, "cancel_requested", now)
    return operation


@transaction.atomic
def operation_retry(*, operation: Operation, actor: str, now: datetime) -> Operation:
    """Queues a failed or canceled operation again, as its next attempt; only a tenant's newest may be retried."""
    newest = Operation.objects.filter(tenant_id=operation.tenant_id).order_by("-created_at", "-id").first()
    if newest is not None and newest.pk != operation.pk:
        raise _conflict(operation, "retry", f"operation {newest.id} came after it", code="superseded")
    operation_subject().retry_check(operation=operation)
    moved = Operation.objects.filter(pk=operation.pk, state__in=(states.FAILED, states.CANCELED)).update(
        state=states.QUEUED,
        attempt=F("attempt") + 1,
        queued_at=now,
        finished_at=None,
        cancel_requested_at=None,
        error=None,
        # A retry is a new decision: what was approved before was another plan.
        approved_by="",
        approved_binding=None,
        takeovers=0,
    )
    if moved != 1:
        raise _conflict(operation, "retry", "only a failed or canceled operation can be retried")
    operation.steps.update(state=states.STEP_PENDING, started_at=None, finished_at=None, detail="")
    _requeued(operation, actor, "retried", now)
    return operation


def _requeued(operation: Operation, actor: str, verb: str, now: datetime, **extra: Any) -> None:
    operation.refresh_from_db()
    data = {"state": states.QUEUED, "attempt": operation.attempt, "by": actor, "verb": verb}
    events_append(operation_id=operation.id, at=now, events=[("state", {**data, **extra})])
    _audit(operation, actor, verb, now, **extra)
    doorbell_ring_on_commit()


def _ended_by_person(operation: Operation, actor: str, verb: str, reason: str, now: datetime) -> None:
    operation.refresh_from_db()
    _steps_end(operation, states.STEP_SKIPPED, verb.capitalize(), now)
    data = {"state": operation.state, "by": actor, "verb": verb, "reason": reason}
    events_append(operation_id=operation.id, at=now, events=[("state", data)])
    operation_subject().finished(operation=operation, now=now)
    _audit(operation, actor, verb, now, reason=reason)


def _audit(operation: Operation, actor: str, verb: str, now: datetime, **data: Any) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"operation.{operation.kind}.{verb}",
        subject_type="operation",
        subject_id=str(operation.id),
        team_id=operation.tenant.team_id,
        data=data,
    )


def _conflict(operation: Operation, verb: str, why: str, *, code: str = "operation_state") -> Conflict:
    operation.refresh_from_db()
    return Conflict(
        f"Cannot {verb} this operation: {why}; it is {operation.state}.",
        code=code,
        hint=f"freehold operations show {operation.id}",
        extra={"state": operation.state},
    )
