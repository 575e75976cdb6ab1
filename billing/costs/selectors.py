"""What a tenant cost in a period, by kind, day and service, and what of it nobody knows a price of. Reads only."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.costs.days import day_period
from billing.costs.models import CostImport, CostLine
from billing.costs.vendors import tokens_priced, vendor_prices
from billing.exact import WIDE, decimal_text, exact_sum
from billing.ledger import accounts
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import entries_in
from billing.metering.selectors import usage_totals
from billing.period import Period
from controlplane.core.clock import moment_text

#: The word by which a cost is shown, and its account.
KINDS = {
    "infrastructure_estimated": accounts.COST_INFRASTRUCTURE_ESTIMATED,
    "infrastructure": accounts.COST_INFRASTRUCTURE,
    "models": accounts.COST_MODELS,
    "overhead": accounts.COST_OVERHEAD,
}


class CostSum(TypedDict):
    """Decimal strings; `by_kind` has every kind."""

    currency: str
    by_kind: dict[str, str]
    total: str


class ServiceCost(TypedDict):
    service: str
    currency: str
    amount: str


class DayCosts(TypedDict):
    """`date` is the UTC day; what belongs to a whole month (overhead) is on its first day."""

    date: str
    currency: str
    by_kind: dict[str, str]


class UnpricedTokens(TypedDict):
    model: str
    meter: str
    tokens: str


class Costs(TypedDict):
    """`unknown_resources` is the largest number of the stack's resources without a price on any day: the estimate is
    at least what it says."""

    period: str
    totals: list[CostSum]
    days: list[DayCosts]
    services: list[ServiceCost]
    unpriced: list[UnpricedTokens]
    unknown_resources: int


@dataclass(frozen=True)
class _Cell:
    day: date
    currency: str
    kind: str
    amount: Decimal


def costs(*, tenant_id: UUID, period: Period, as_of: datetime) -> Costs:
    cells = _cells(tenant_id, period)
    currencies = sorted({cell.currency for cell in cells})
    days = sorted({(cell.day, cell.currency) for cell in cells})
    return Costs(
        period=period.key,
        totals=[
            _sum([cell for cell in cells if cell.currency == currency], currency) for currency in currencies
        ],
        days=[
            DayCosts(
                date=day.isoformat(),
                currency=currency,
                by_kind=_by_kind([cell for cell in cells if (cell.day, cell.currency) == (day, currency)]),
            )
            for day, currency in days
        ],
        services=_services(tenant_id, period),
        unpriced=_unpriced(tenant_id, period, as_of),
        unknown_resources=_unknown_resources(tenant_id, period),
    )


def cost_imports_of(*, pool_id: UUID) -> QuerySet[CostImport]:
    return CostImport.objects.filter(pool_id=pool_id)


def cost_import_representation(found: CostImport) -> dict[str, object]:
    return {
        "id": str(found.id),
        "feed": found.feed,
        "format": found.format,
        "mode": found.mode,
        "sha256": found.sha256,
        "lines": found.lines,
        **found.summary,
        "created_at": moment_text(found.created_at),
    }


def _cells(tenant_id: UUID, period: Period) -> list[_Cell]:
    kinds = {account: kind for kind, account in KINDS.items()}
    found = entries_in(tenant_ids=[tenant_id], period=period).filter(account__in=list(kinds))
    rows = found.order_by().values("transaction__service_start", "transaction__currency", "account")
    return [
        _Cell(
            row["transaction__service_start"].date(),
            row["transaction__currency"],
            kinds[row["account"]],
            row["sum"],
        )
        for row in rows.annotate(sum=Sum("amount"))
        if row["sum"]
    ]


def _sum(cells: Sequence[_Cell], currency: str) -> CostSum:
    total = exact_sum(cell.amount for cell in cells)
    return CostSum(currency=currency, by_kind=_by_kind(cells), total=decimal_text(total))


def _by_kind(cells: Sequence[_Cell]) -> dict[str, str]:
    return {
        kind: decimal_text(exact_sum(cell.amount for cell in cells if cell.kind == kind)) for kind in KINDS
    }


def _services(tenant_id: UUID, period: Period) -> list[ServiceCost]:
    lines = CostLine.objects.filter(
        book_id=tenant_id, day__gte=period.start.date(), day__lt=period.end.date()
    )
    rows = lines.order_by("service", "currency").values("service", "currency").annotate(sum=Sum("amount"))
    return [
        ServiceCost(service=row["service"], currency=row["currency"], amount=decimal_text(row["sum"]))
        for row in rows
    ]


def _unpriced(tenant_id: UUID, period: Period, as_of: datetime) -> list[UnpricedTokens]:
    """The period cut where some price begins or ends, so that within a stretch the same ones hold."""
    prices = vendor_prices()
    first, last = period.start.date(), period.end.date()
    changes = {
        day for price in prices for day in (price.effective_from, price.effective_to) if day is not None
    }
    edges = [first, *sorted(day for day in changes if first < day < last), last]
    tokens: dict[tuple[str, str], Decimal] = {}
    for day, until in itertools.pairwise(edges):
        totals = usage_totals(
            tenant_id=tenant_id, start=day_period(day).start, end=day_period(until).start, as_of=as_of
        )
        for each in tokens_priced(totals, day, prices)[1]:
            key = (each.model, each.meter)
            tokens[key] = WIDE.add(tokens.get(key, Decimal(0)), each.tokens)
    return [
        UnpricedTokens(model=model, meter=meter, tokens=decimal_text(count))
        for (model, meter), count in sorted(tokens.items())
    ]


def _unknown_resources(tenant_id: UUID, period: Period) -> int:
    found = JournalTransaction.objects.filter(
        kind="cost_estimate",
        tenant_id=tenant_id,
        service_start__gte=period.start,
        service_start__lt=period.end,
    )
    return max((int(data["unknown"]) for data in found.values_list("data", flat=True)), default=0)
