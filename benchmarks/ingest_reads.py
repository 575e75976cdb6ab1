"""Reads of a tenant's month beside all that is stored: the usage query and the invoice preview."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from benchmarks.figures import Figure, percentile, single, spread
from benchmarks.ingest_events import METER, MONTH, NEXT_MONTH, Stream

READS = 100
WARM_UP = 5


@dataclass(frozen=True)
class _Customer:
    id: UUID
    slug: str
    name: str
    created_at: datetime


def read_figures() -> list[Figure]:
    from billing.invoicing.selectors import invoice_preview
    from billing.metering.models import UsageEventKey
    from billing.metering.selectors import usage_query
    from billing.period import Period
    from billing.rating.cards import RateCard
    from controlplane.tenants.plans import plans

    stream = Stream("tenant-0", 1)
    stored = UsageEventKey.objects.count()
    customer = _Customer(stream.tenant_id, stream.slug, stream.slug, MONTH)
    card = RateCard.model_validate(next(iter(plans().values())).rate_card)
    now = datetime.now(UTC)

    def asked(window: str, zone: str, group_by: str | None = None) -> Callable[[], object]:
        return lambda: usage_query(
            tenant_id=stream.tenant_id, meter=METER, start=MONTH, end=NEXT_MONTH, window=window, timezone=zone,
            group_by=group_by, as_of=now,
        )  # fmt: skip

    reads: dict[str, Callable[[], object]] = {
        "usage query, a month by day": asked("day", "UTC"),
        "usage query, a month by hour of Berlin": asked("hour", "Europe/Berlin"),
        "usage query, a month by day and model": asked("day", "UTC", "model"),
        "usage query, a month by user": asked("month", "UTC", "user"),
        "invoice preview": lambda: invoice_preview(
            customer=customer, period=Period(MONTH, NEXT_MONTH), as_of=now, card=card
        ),
    }
    return [
        figure for name, read in reads.items() for figure in _timed(f"{name}, {stored} events stored", read)
    ]


def _timed(name: str, read: Callable[[], object]) -> list[Figure]:
    durations = []
    for number in range(WARM_UP + READS):
        started = time.perf_counter()
        read()
        if number >= WARM_UP:
            durations.append((time.perf_counter() - started) * 1000)
    return [
        spread(name, "ms", durations),
        single(f"{name}, p99", "ms", percentile(durations, 0.99), n=len(durations)),
    ]
