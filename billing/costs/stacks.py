"""What a tenant's stack costs a month, from when on: through a port, since billing knows no operations. The setting
BILLING_STACK_COSTS names who does (controlplane/tenants/stack_costs.py)."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True)
class StackCost:
    """From `since` on the stack costs `monthly` for 730 hours, `gpu` of it for GPUs. `unknown` of its resources have
    no known price, so that it costs at least this much."""

    since: datetime
    monthly: Decimal
    gpu: Decimal
    currency: str
    unknown: int


class StackCosts(Protocol):
    """Knows what was applied to stacks, and what the plans of it cost."""

    def costs(self, *, tenant_id: UUID, until: datetime) -> list[StackCost]:
        """Every change of the stack's cost before `until`, in the order of time; empty for one never applied."""
        ...


def stack_costs() -> StackCosts:
    found: StackCosts = import_string(settings.BILLING_STACK_COSTS)()
    return found
