"""GPU hours paid for, and of them those in which a run was going. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.exact import WIDE
from billing.metering.gpu_time import gpu_times
from billing.period import Period


@dataclass(frozen=True)
class GpuHours:
    """`paid` is how long GPUs existed, `busy` how much of that lay within some run of the tenant's, `billed` what the
    rate card charged of it (after its allowance)."""

    paid: Decimal
    busy: Decimal
    billed: Decimal

    @property
    def idle(self) -> Decimal:
        return WIDE.subtract(self.paid, self.busy)

    @property
    def idle_share(self) -> Decimal:
        """Of what was paid; zero where nothing was."""
        return WIDE.divide(self.idle, self.paid) if self.paid else Decimal(0)


def gpu_hours(*, tenant_id: UUID, period: Period, as_of: datetime, billed: Decimal) -> GpuHours:
    # Most tenants have none: their runs are not read.
    times = gpu_times(tenant_ids=[tenant_id], start=period.start, end=period.end, as_of=as_of)
    time = times[tenant_id]
    return GpuHours(time.paid, time.busy, billed)
