"""What a tenant earned and cost in a period: queries on the ledger, to the last digit. Reads only.

A transaction belongs to the period its service began in. Currencies are never added up: who earns in euros what
costs dollars gets a line for each, and no margin across them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from billing.exact import WIDE, exact_sum
from billing.ledger import accounts
from billing.ledger.gpu import GpuHours, gpu_hours
from billing.ledger.models import MonthBalance
from billing.ledger.selectors import BalanceKey, balances
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
    """Of a month. `billed_gpu_hours` are the rated lines' (billing.charges); hours are counted up to `as_of`."""
    gpu = gpu_hours(tenant_id=tenant_id, period=period, as_of=as_of, billed=billed_gpu_hours)
    held = balances(tenant_id=tenant_id, period=period)
    return Margin(tenant_id, margin_lines(held, _gpu_shares(tenant_id, period), gpu.idle_share), gpu)


def margin_lines(
    held: Mapping[BalanceKey, Decimal], gpu_shares: Mapping[str, Decimal], idle_share: Decimal
) -> tuple[MarginLine, ...]:
    """One for each currency. `held` is {(currency, account): balance}, `gpu_shares` what part of the infrastructure's
    cost is the GPUs' by currency, `idle_share` what part of their hours nothing ran."""
    shown = {*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS}
    currencies = sorted({currency for currency, account in held if account in shown})
    lines = []
    for currency in currencies:

        def amount(account: str, of: str = currency) -> Decimal:
            return held.get((of, account), Decimal(0))

        costs = {kind: amount(account) for kind, account in COST_KINDS.items()}
        infrastructure = exact_sum(costs[kind] for kind in _INFRASTRUCTURE)
        idle = WIDE.multiply(gpu_shares.get(currency, Decimal(0)), idle_share)
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


def _gpu_shares(tenant_id: UUID, period: Period) -> dict[str, Decimal]:
    """{currency: how much of the infrastructure's cost is the GPUs'}, by what the priced plan said of each day."""
    rows = MonthBalance.objects.filter(
        month=period.start, tenant_id=tenant_id, account=accounts.COST_INFRASTRUCTURE_ESTIMATED
    ).values_list("currency", "priced", "priced_gpu")
    return {currency: WIDE.divide(gpu, whole) for currency, whole, gpu in rows if whole}
