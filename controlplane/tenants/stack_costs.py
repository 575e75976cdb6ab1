"""What tenants' stacks cost, as billing asks for it (billing/costs/stacks.py); named by BILLING_STACK_COSTS."""

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.costs.stacks import StackCost
from contracts.gpus import GPUS_OF_INSTANCE
from contracts.planned import CostEstimate, PlanAssessment
from controlplane.operations import states
from controlplane.operations.models import Operation

#: What it applied stands from its end on. A preview and a refresh apply nothing.
_APPLIED = frozenset(states.KINDS) - {states.PREVIEW, states.REFRESH}


class TenantStackCosts:
    def costs(self, *, tenant_id: UUID, until: datetime) -> list[StackCost]:
        """By the plans of the operations that succeeded. What a failed one had built before it failed is not priced:
        the next one that succeeds tells."""
        done = Operation.objects.filter(
            tenant_id=tenant_id, state=states.SUCCEEDED, kind__in=_APPLIED, finished_at__lt=until
        )
        rows = done.order_by("finished_at", "pk").values_list("finished_at", "kind", "assessment")
        found = [
            _cost(finished_at, kind, assessment) for finished_at, kind, assessment in rows if finished_at
        ]
        return [cost for cost in found if cost is not None]


def _cost(since: datetime, kind: str, assessment: dict[str, Any] | None) -> StackCost | None:
    """None for work on data alone, which changes no resource."""
    estimate = PlanAssessment.model_validate(assessment).cost if assessment else None
    if kind == states.DEPROVISION:
        currency = estimate.currency if estimate else "USD"
        return StackCost(since, Decimal(0), Decimal(0), currency, 0)
    if estimate is None:
        return None
    return StackCost(
        since, Decimal(estimate.monthly_after), _gpu(estimate), estimate.currency, len(estimate.unknown)
    )


def _gpu(estimate: CostEstimate) -> Decimal:
    """The lines that pay for GPUs: the thing itself, or a machine that has some."""
    return sum(
        (Decimal(line.monthly) for line in estimate.lines if _pays_for_gpu(line.sku)), start=Decimal(0)
    )


def _pays_for_gpu(sku: str) -> bool:
    parts = sku.split(":")
    return parts[-1] == "gpu" or any(part in GPUS_OF_INSTANCE for part in parts)
