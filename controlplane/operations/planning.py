"""A fresh plan: what it was computed from, and whether a person must look at it before it is applied."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from contracts.engine import PlanFacts
from contracts.planned import PlanAssessment
from contracts.stack import StackSpec
from controlplane.core.ids import uuid7
from controlplane.operations.binding import PlanBinding, approval_reason, binding_make, binding_moved
from controlplane.operations.models import Operation, Stack


def plan_bind(
    *,
    operation: Operation,
    facts: PlanFacts,
    plan: Sequence[Mapping[str, Any]],
    assessment: PlanAssessment,
    now: datetime,
) -> PlanBinding:
    """What an approval of this plan would bind to, until FREEHOLD_PLAN_TTL_S from now."""
    stack = Stack.objects.filter(tenant_id=operation.tenant_id).first()
    return binding_make(
        plan_id=uuid7(),
        facts=facts,
        spec=StackSpec.model_validate(operation.spec),
        state_version=stack.state_version if stack else 0,
        plan=plan,
        assessment=assessment,
        computed_at=now,
        expires_at=now + timedelta(seconds=settings.FREEHOLD_PLAN_TTL_S),
    )


def plan_objection(
    *, operation: Operation, binding: PlanBinding, assessment: PlanAssessment
) -> tuple[str, list[str]] | None:
    """(why a person must look, which parts of the plan that was approved have moved); None when the apply may begin:
    nobody need approve, or what somebody approved still stands."""
    reason = approval_reason(
        kind=operation.kind,
        rule=operation.approval_rule,
        requested=operation.requires_approval,
        second_person=operation.second_person,
        assessment=assessment,
        cost_limit=operation.approval_cost_increase,
    )
    if reason is None:
        return None
    if operation.approved_binding is None:
        return reason, []
    moved = binding_moved(PlanBinding.model_validate(operation.approved_binding), binding)
    return (reason, moved) if moved else None
