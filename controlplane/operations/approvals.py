"""A person's word on a plan: approve, reject, or let it expire."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import transaction

from controlplane.accounts.selectors import actor_person
from controlplane.core.clock import moment_text
from controlplane.core.errors import PermissionDenied
from controlplane.operations import locks, states
from controlplane.operations.binding import PlanBinding
from controlplane.operations.models import Operation
from controlplane.operations.trail import operation_conflict, operation_ended, operation_requeued


def another_approves(*, operation: Operation, actor: str) -> bool:
    """Whether it takes two persons and this one is the first of them."""
    wants_second = settings.FREEHOLD_TWO_PERSON_APPROVAL or operation.second_person
    return wants_second and actor_person(actor=actor) == actor_person(actor=operation.requested_by)


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
        raise operation_conflict(
            operation, "approve", "only an operation that awaits approval can be approved"
        )
    binding = PlanBinding.model_validate(current.binding)
    if plan_id is not None and plan_id != binding.plan_id:
        raise operation_conflict(
            operation, "approve", f"plan {plan_id} was replaced by {binding.plan_id}", code="plan_stale"
        )
    if binding.expires_at <= now:
        raise operation_conflict(operation, "approve", f"plan {binding.plan_id} expired", code="plan_stale")
    if another_approves(operation=current, actor=actor):
        raise PermissionDenied(
            "Whoever requested an operation may not approve it.",
            code="second_person_needed",
            hint="Ask another person with the scope operations:approve.",
        )
    moved = Operation.objects.filter(pk=operation.pk, state=states.AWAITING_APPROVAL).update(
        state=states.QUEUED, approved_by=actor, approved_binding=current.binding, queued_at=now
    )
    if moved != 1:
        raise operation_conflict(operation, "approve", "it was decided meanwhile")
    operation_requeued(operation, actor, "approved", now, plan_id=str(binding.plan_id), comment=comment)
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
            operation_ended(
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
        raise operation_conflict(
            operation, "reject", "only an operation that awaits approval can be rejected"
        )
    operation_ended(operation, actor, "rejected", reason, now)
    return operation
