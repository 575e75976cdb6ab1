"""What a tenant earned and cost in a period: queries on the ledger, to the last digit. Reads only.

A transaction belongs to the period its service began in. Currencies are never added up: who earns in euros what
costs dollars gets a line for each, and no margin across them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db.models import DecimalField, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from billing.customer import Customer
from billing.exact import WIDE, exact_sum
from billing.ledger import accounts
from billing.ledger.gpu import GpuHours, gpu_hours
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import balances_of
from billing.metering.gpu_time import gpu_times
from billing.period import Period

#: The word by which a cost is shown, and its account.
COST_KINDS: Final = {
    "infrastructure_estimated": accounts.COST_INFRASTRUCTURE_ESTIMATED,
    "infrastructure": accounts.COST_INFRASTRUCTURE,
    "models": accounts.COST_MODELS,
    "overhead": accounts.COST_OVERHEAD,
    "bad_debt": accounts.BAD_DEBT,
}
_INFRASTRUCTURE = ("infrastructure_estimated", "infrastructure")


@dataclass(frozen=True)
class MarginLine:
    """One currency. `revenue` is after promotional credits and with breakage; `not_invoiced` is the part of it that
    is accrued. `idle_cost` is part of the cost, not beside it."""

    currency: str
    revenue: Decimal
    not_invoiced: Decimal
    costs: Mapping[str, Decimal]
    idle_cost: Decimal

    @property
    def cost(self) -> Decimal:
        return exact_sum(self.costs.values())

    @property
    def margin(self) -> Decimal:
        return WIDE.subtract(self.revenue, self.cost)

    @property
    def margin_percent(self) -> Decimal | None:
        """To two places; None where nothing was earned."""
        if self.revenue <= 0:
            return None
        share = WIDE.divide(WIDE.multiply(self.margin, Decimal(100)), self.revenue)
        return share.quantize(Decimal("0.01"), context=WIDE)


@dataclass(frozen=True)
class Margin:
    """`lines` has one per currency that anything happened in, `gpu` is None for the fleet's own book."""

    book_id: UUID
    lines: tuple[MarginLine, ...]
    gpu: GpuHours | None


def margin(
    *, tenant_id: UUID, period: Period, as_of: datetime, billed_gpu_hours: Decimal = Decimal(0)
) -> Margin:
    """`billed_gpu_hours` are the rated lines' (billing.charges); hours are counted up to `as_of`."""
    gpu = gpu_hours(tenant_id=tenant_id, period=period, as_of=as_of, billed=billed_gpu_hours)
    held = balances_of(tenant_ids=[tenant_id], period=period)
    shares = _gpu_shares([tenant_id], period)
    return Margin(tenant_id, margin_lines(tenant_id, held, shares, gpu.idle_share), gpu)


def fleet_margin(
    *,
    pool_id: UUID,
    tenants: Sequence[Customer],
    period: Period,
    as_of: datetime,
    billed: Mapping[UUID, Decimal],
) -> tuple[list[Margin], list[MarginLine]]:
    """Each tenant's margin, then the fleet's own book where anything is left in it; and the sums by currency."""
    books = [tenant.id for tenant in tenants]
    held = balances_of(tenant_ids=[*books, pool_id], period=period)
    shares = _gpu_shares(books, period)
    times = gpu_times(tenant_ids=books, start=period.start, end=period.end, as_of=as_of)
    # Of each book by itself: to look for its entries among those of thousands would take thousands of times as long.
    own: dict[UUID, dict[tuple[UUID, str, str], Decimal]] = defaultdict(dict)
    for key, amount in held.items():
        own[key[0]][key] = amount
    rows = []
    for book in books:
        gpu = GpuHours(times[book].paid, times[book].busy, billed.get(book, Decimal(0)))
        rows.append(Margin(book, margin_lines(book, own[book], shares, gpu.idle_share), gpu))
    if pool := margin_lines(pool_id, own[pool_id], shares, Decimal(0)):
        rows.append(Margin(pool_id, pool, None))
    return rows, _totals([line for row in rows for line in row.lines])


def margin_lines(
    book: UUID,
    held: Mapping[tuple[UUID, str, str], Decimal],
    gpu_shares: Mapping[tuple[UUID, str], Decimal],
    idle_share: Decimal,
) -> tuple[MarginLine, ...]:
    """One for each currency of the book. `held` is {(book, currency, account): balance}, `gpu_shares` what part of the
    infrastructure's cost is the GPUs', `idle_share` what part of their hours nothing ran."""
    shown = {*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS}
    currencies = sorted({currency for owner, currency, account in held if owner == book and account in shown})
    lines = []
    for currency in currencies:

        def amount(account: str, of: str = currency) -> Decimal:
            return held.get((book, of, account), Decimal(0))

        costs = {kind: amount(account) for kind, account in COST_KINDS.items()}
        infrastructure = exact_sum(costs[kind] for kind in _INFRASTRUCTURE)
        idle = WIDE.multiply(gpu_shares.get((book, currency), Decimal(0)), idle_share)
        lines.append(
            MarginLine(
                currency=currency,
                revenue=-exact_sum(amount(account) for account in accounts.REVENUE_ACCOUNTS),
                not_invoiced=amount(accounts.CUSTOMER_ACCRUED),
                costs=costs,
                idle_cost=WIDE.multiply(infrastructure, idle).quantize(Decimal("1e-12"), context=WIDE),
            )
        )
    return tuple(line for line in lines if line.revenue or any(line.costs.values()))


def _totals(lines: Iterable[MarginLine]) -> list[MarginLine]:
    found = list(lines)
    return [
        MarginLine(
            currency=currency,
            revenue=exact_sum(line.revenue for line in own),
            not_invoiced=exact_sum(line.not_invoiced for line in own),
            costs={kind: exact_sum(line.costs[kind] for line in own) for kind in COST_KINDS},
            idle_cost=exact_sum(line.idle_cost for line in own),
        )
        for currency in sorted({line.currency for line in found})
        if (own := [line for line in found if line.currency == currency])
    ]


def _gpu_shares(tenant_ids: Sequence[UUID], period: Period) -> dict[tuple[UUID, str], Decimal]:
    """How much of the infrastructure's cost is the GPUs', by what the priced plan said of each day."""
    estimates = JournalTransaction.objects.filter(
        kind="cost_estimate",
        tenant_id__in=tenant_ids,
        service_start__gte=period.start,
        service_start__lt=period.end,
    )
    # Added up by the database: a month has an estimate for each tenant and day.
    priced = Cast(KeyTextTransform("gpu", "data"), DecimalField(max_digits=50, decimal_places=12))
    rows = (
        estimates.filter(entries__account=accounts.COST_INFRASTRUCTURE_ESTIMATED)
        .order_by()
        .values_list("tenant_id", "currency")
        .annotate(gpu=Sum(priced), whole=Sum("entries__amount"))
    )
    return {(book, currency): WIDE.divide(gpu, whole) for book, currency, gpu, whole in rows if whole}
