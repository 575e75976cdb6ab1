"""Operations: asked for, canceled and retried by people. Every move is a guarded update."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from contracts.stack import StackSpec
from controlplane.core.audit import audit_record
from controlplane.operations import states
from controlplane.operations.binding import APPROVE_STATEFUL
from controlplane.operations.doorbell import doorbell_ring_on_commit
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation, Step
from controlplane.operations.subject import operation_subject
from controlplane.operations.trail import operation_conflict, operation_ended, operation_requeued, trail_audit


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
    second_person: bool = False,
    arguments: Mapping[str, Any] | None = None,
    approval_cost_increase: Decimal | None = None,
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
        second_person=second_person,
        arguments=dict(arguments or {}),
        approval_cost_increase=approval_cost_increase,
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
        data={
            "tenant": spec.slug,
            "reason": reason,
            "requires_approval": requires_approval or second_person,
            **(arguments or {}),
        },
    )
    doorbell_ring_on_commit()
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
        operation_ended(operation, actor, "canceled", "", now)
        return operation
    asked = Operation.objects.filter(
        pk=operation.pk, state__in=states.RUNNING, cancel_requested_at__isnull=True
    ).update(cancel_requested_at=now)
    if asked != 1:
        raise operation_conflict(operation, "cancel", "it has ended or is being canceled")
    operation.refresh_from_db()
    events_append(operation_id=operation.id, at=now, events=[("cancel", {"by": actor})])
    trail_audit(operation, actor, "cancel_requested", now)
    return operation


@transaction.atomic
def operation_retry(*, operation: Operation, actor: str, now: datetime) -> Operation:
    """Queues a failed or canceled operation again, as its next attempt; only a tenant's newest may be retried."""
    newest = Operation.objects.filter(tenant_id=operation.tenant_id).order_by("-created_at", "-id").first()
    if newest is not None and newest.pk != operation.pk:
        raise operation_conflict(
            operation, "retry", f"operation {newest.id} came after it", code="superseded"
        )
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
        raise operation_conflict(operation, "retry", "only a failed or canceled operation can be retried")
    operation.steps.update(state=states.STEP_PENDING, started_at=None, finished_at=None, detail="")
    operation_requeued(operation, actor, "retried", now)
    return operation
