"""Reads of operations. Access is decided here: a principal sees the operations of the tenants it sees."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from contracts.plan_document import assessment_representation, cost_representation, resources_representation
from controlplane.accounts.access import Principal
from controlplane.core.clock import moment_text_or_none
from controlplane.core.errors import NotFound
from controlplane.operations import states
from controlplane.operations.binding import PlanBinding
from controlplane.operations.models import Operation, OperationEvent, Stack
from controlplane.operations.queue import queue_claimable, queue_position, slots_free, waiting_for

#: What a list does not show, and would read for each of its rows.
HEAVY_FIELDS: Final = ("spec", "plan", "assessment", "binding", "approved_binding")


def operations_visible(*, principal: Principal) -> QuerySet[Operation]:
    visible = Operation.objects.filter(tenant__team_id=principal.team_id)
    if principal.tenant_ids is not None:
        visible = visible.filter(tenant_id__in=principal.tenant_ids)
    return visible.select_related("tenant").prefetch_related("steps")


def operation_get(*, principal: Principal, operation_id: UUID) -> Operation:
    """Raises NotFound for one that does not exist and for one of another team alike."""
    operation = operations_visible(principal=principal).filter(pk=operation_id).first()
    if operation is None:
        raise NotFound("There is no such operation.", hint="GET /api/v1/operations lists those you can see.")
    return operation


def operations_claimable() -> int:
    """How many operations could be claimed now, within the free slots."""
    free = slots_free()
    return min(free, queue_claimable().values("tenant_id").distinct().order_by().count()) if free else 0


@dataclass(frozen=True)
class Queueing:
    """Where a waiting operation stands; position 1 is next."""

    position: int | None
    waiting_for: str | None


def operation_queueing(*, operation: Operation) -> Queueing:
    """The true place in the queue, and what the operation waits for; nothing for one that does not wait."""
    if operation.state == states.AWAITING_APPROVAL:
        until = (operation.binding or {}).get("expires_at")
        return Queueing(None, "a person's approval" + (f", until {until}" if until else ""))
    if operation.state != states.QUEUED:
        return Queueing(None, None)
    return Queueing(queue_position(operation), waiting_for(operation))


def plan_moved(*, operation: Operation, now: datetime) -> list[str]:
    """What of the plan that awaits approval has moved already, as far as it can be known without planning again; empty
    when an approval may still be given. The apply looks at the rest itself."""
    if operation.state != states.AWAITING_APPROVAL or operation.binding is None:
        return []
    binding = PlanBinding.model_validate(operation.binding)
    moved = []
    if binding.expires_at <= now:
        moved.append("the time in which it could be approved is over")
    version = (
        Stack.objects.filter(tenant_id=operation.tenant_id).values_list("state_version", flat=True).first()
    )
    if (version or 0) != binding.state_version:
        moved.append("another operation changed the stack since")
    return moved


def events_after(*, operation_id: UUID, cursor: int, limit: int) -> list[OperationEvent]:
    return list(
        OperationEvent.objects.filter(operation_id=operation_id, id__gt=cursor).order_by("id")[:limit]
    )


def operation_representation(operation: Operation, *, slug: str) -> dict[str, Any]:
    """The operation of contract.md section 3."""
    queueing = operation_queueing(operation=operation)
    return {
        "id": str(operation.id),
        "kind": operation.kind,
        "state": operation.state,
        "tenant": slug,
        "reason": operation.reason,
        "requested_by": operation.requested_by,
        "approved_by": operation.approved_by or None,
        "requires_approval": operation.requires_approval,
        "second_person": operation.second_person,
        "arguments": operation.arguments,
        "priority": operation.priority,
        "queue_position": queueing.position,
        "waiting_for": queueing.waiting_for,
        "steps": [
            {
                "name": step.name,
                "state": step.state,
                "started_at": moment_text_or_none(step.started_at),
                "finished_at": moment_text_or_none(step.finished_at),
                "detail": step.detail,
                "resources": (step.counts or {}).get("resources", {}),
                "diagnostics": (step.counts or {}).get("diagnostics", {}),
            }
            for step in operation.steps.all()
        ],
        "progress": {"done": operation.progress_done, "total": operation.progress_total},
        "plan_id": (operation.binding or {}).get("plan_id"),
        "plan_summary": operation.plan_summary,
        "cost": cost_representation(operation.assessment),
        "attempt": operation.attempt,
        "error": operation.error,
        "created_at": moment_text_or_none(operation.created_at),
        "started_at": moment_text_or_none(operation.started_at),
        "finished_at": moment_text_or_none(operation.finished_at),
    }


def plan_representation(operation: Operation) -> dict[str, Any]:
    """{operation, plan_id, approval, binds_to, summary, policy, cost, cost_lines, cost_unknown, prices, resources}."""
    return {
        "operation": str(operation.id),
        "plan_id": (operation.binding or {}).get("plan_id"),
        "summary": operation.plan_summary,
        "approval": {"needed": bool(operation.approval_reason), "reason": operation.approval_reason or None},
        "binds_to": operation.binding,
        "resources": resources_representation(operation.plan or []),
        "cost": cost_representation(operation.assessment),
        **assessment_representation(operation.assessment),
    }


def stack_of(*, tenant_id: UUID) -> Stack | None:
    return Stack.objects.filter(tenant_id=tenant_id).first()
