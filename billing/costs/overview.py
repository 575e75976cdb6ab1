"""What a tenant earned and cost in a month, by day, and how far its cost is known. Reads only, in a few queries.

The same sums as billing.ledger.margin and billing.costs.selectors; here with the moments that they are from.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Count, F, Max, Sum
from django.db.models.aggregates import Aggregate

from billing.costs.models import CostLine
from billing.costs.vendors import vendor_prices
from billing.exact import WIDE, exact_sum
from billing.ledger import accounts
from billing.ledger.gpu import GpuHours, gpu_hours
from billing.ledger.margin import COST_KINDS, MarginLine, margin_lines
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import BalanceKey, entries_in
from billing.metering.catalogue import METERS
from billing.metering.measure import measure
from billing.metering.windows import Window
from billing.period import Period

_KIND_OF = {account: kind for kind, account in COST_KINDS.items()}


class _All(Aggregate):
    function = "bool_and"
    output_field = BooleanField()


@dataclass(frozen=True)
class CostDay:
    """What belongs to a whole month (overhead, bad debt) is on the day it begins."""

    day: date
    costs: Mapping[str, Decimal]

    @property
    def total(self) -> Decimal:
        return exact_sum(self.costs.values())


@dataclass(frozen=True)
class Known:
    """`estimated_until` is the last day that was priced, `estimated_at` when; `unknown` is how many of the stack's
    resources had no price on some day. `billed_until` is the last day on the provider's bill, `billed_at` when its
    newest line came in; `final`: all lines are on an invoice of the provider."""

    estimated_until: date | None
    estimated_at: datetime | None
    unknown: int
    billed_until: date | None
    billed_at: datetime | None
    final: bool


@dataclass(frozen=True)
class Service:
    name: str
    currency: str
    amount: Decimal


@dataclass(frozen=True)
class CostOverview:
    """`days` by currency, in the order of time. `unpriced`: models that wrote tokens in the month and have no vendor
    price on its last day so far; what they cost is in no sum. billing.costs.selectors tells all such tokens exactly."""

    lines: tuple[MarginLine, ...]
    days: Mapping[str, Sequence[CostDay]]
    gpu: GpuHours
    known: Known
    services: Sequence[Service]
    unpriced: Sequence[str]


def cost_overview(*, tenant_id: UUID, period: Period, as_of: datetime) -> CostOverview:
    shown = [*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS, accounts.CUSTOMER_ACCRUED]
    entries = entries_in(tenant_ids=[tenant_id], period=period).filter(account__in=shown).order_by()
    cells = list(
        entries.values(
            "account", start=F("transaction__service_start"), currency=F("transaction__currency")
        ).annotate(sum=Sum("amount"))
    )
    estimates = list(
        JournalTransaction.objects.filter(
            kind="cost_estimate",
            tenant_id=tenant_id,
            service_start__gte=period.start,
            service_start__lt=period.end,
            entries__account=accounts.COST_INFRASTRUCTURE_ESTIMATED,
        ).values_list("currency", "data", "entries__amount", "service_start", "at")
    )
    billed = list(
        CostLine.objects.filter(book_id=tenant_id, day__gte=period.start.date(), day__lt=period.end.date())
        .order_by("service", "currency")
        .values("service", "currency")
        .annotate(
            sum=Sum("amount"),
            until=Max("day"),
            at=Max("cost_import__created_at"),
            final_all=_All("final"),
            lines=Count("pk"),
        )
    )
    gpu = gpu_hours(tenant_id=tenant_id, period=period, as_of=as_of, billed=Decimal(0))
    return CostOverview(
        lines=margin_lines(_held(cells), _shares(estimates), gpu.idle_share),
        days=_days(cells),
        gpu=gpu,
        known=Known(
            estimated_until=max((start.date() for *_, start, _ in estimates), default=None),
            estimated_at=max((at for *_, at in estimates), default=None),
            unknown=max((int(data["unknown"]) for _, data, *_ in estimates), default=0),
            billed_until=max((row["until"] for row in billed), default=None),
            billed_at=max((row["at"] for row in billed), default=None),
            final=bool(billed) and all(row["final_all"] for row in billed),
        ),
        services=[Service(row["service"], row["currency"], row["sum"]) for row in billed],
        unpriced=_unpriced(tenant_id, period, as_of),
    )


def _held(cells: Iterable[Mapping[str, Any]]) -> dict[BalanceKey, Decimal]:
    held: dict[BalanceKey, Decimal] = {}
    for cell in cells:
        key = (cell["currency"], cell["account"])
        held[key] = WIDE.add(held.get(key, Decimal(0)), cell["sum"])
    return held


def _shares(estimates: Iterable[tuple[Any, ...]]) -> dict[str, Decimal]:
    sums: dict[str, tuple[Decimal, Decimal]] = {}
    for currency, data, amount, *_ in estimates:
        gpu, whole = sums.get(currency, (Decimal(0), Decimal(0)))
        sums[currency] = WIDE.add(gpu, Decimal(data["gpu"])), WIDE.add(whole, amount)
    return {currency: WIDE.divide(gpu, whole) for currency, (gpu, whole) in sums.items() if whole}


def _unpriced(tenant_id: UUID, period: Period, as_of: datetime) -> list[str]:
    written = measure(
        tenant_id=tenant_id,
        meter=METERS["output_tokens"],
        windows=[Window(period.start, period.end)],
        as_of=as_of,
        group_by=("model",),
    )
    models = {str(json.loads(dimensions)["model"]) for _, dimensions in written}
    day = (max(period.start, min(as_of, period.end - timedelta(days=1)))).date()
    return sorted(model for model in models if not any(price.holds(model, day) for price in vendor_prices()))


def _days(cells: Iterable[Mapping[str, Any]]) -> dict[str, list[CostDay]]:
    found: dict[tuple[str, date], dict[str, Decimal]] = {}
    for cell in cells:
        kind = _KIND_OF.get(cell["account"])
        if kind is not None and cell["sum"]:
            costs = found.setdefault((cell["currency"], cell["start"].date()), {})
            costs[kind] = WIDE.add(costs.get(kind, Decimal(0)), cell["sum"])
    days: dict[str, list[CostDay]] = {}
    for (currency, day), costs in sorted(found.items()):
        days.setdefault(currency, []).append(CostDay(day, costs))
    return days
