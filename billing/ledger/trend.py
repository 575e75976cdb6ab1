"""Revenue, cost and margin by month over many books: sums of the ledger's kept months in one query. Reads only.

As in margin.py a transaction belongs to the month its service began in, and currencies are never added up.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet, Sum

from billing.exact import WIDE, exact_sum
from billing.ledger import accounts
from billing.ledger.models import MonthBalance
from billing.period import month_start


@dataclass(frozen=True)
class MonthLine:
    """One month in one currency. `estimated` is the part of the cost that no bill has confirmed yet."""

    month: datetime
    currency: str
    revenue: Decimal
    cost: Decimal
    estimated: Decimal

    @property
    def margin(self) -> Decimal:
        return WIDE.subtract(self.revenue, self.cost)


def months_until(*, now: datetime, count: int) -> list[datetime]:
    """The starts of the last `count` months, this one included, the oldest first."""
    found = [month_start(now)]
    while len(found) < count:
        found.append(month_start(found[-1] - timedelta(days=1)))
    return found[::-1]


def margin_trend(
    *, tenants: QuerySet[Any, UUID], pool_id: UUID | None, months: list[datetime]
) -> dict[str, list[MonthLine]]:
    """{currency: a line for each of `months`}, the currency that earned most first. `pool_id` adds the fleet's own
    book; a currency in which nothing happened is left out."""
    books = Q(tenant_id__in=tenants)
    if pool_id is not None:
        books |= Q(tenant_id=pool_id)
    rows = (
        MonthBalance.objects.filter(
            books, month__in=months, account__in=(*accounts.REVENUE_ACCOUNTS, *accounts.COST_ACCOUNTS)
        )
        .values_list("currency", "month", "account")
        .annotate(sum=Sum("amount"))
        .order_by()
    )
    held: dict[str, dict[tuple[datetime, str], Decimal]] = {}
    for currency, month, account, amount in rows:
        held.setdefault(currency, {})[month, account] = amount
    found = {currency: [_line(currency, month, sums) for month in months] for currency, sums in held.items()}
    return dict(
        sorted(found.items(), key=lambda item: (-exact_sum(line.revenue for line in item[1]), item[0]))
    )


def _line(currency: str, month: datetime, sums: dict[tuple[datetime, str], Decimal]) -> MonthLine:
    def total(names: Iterable[str]) -> Decimal:
        return exact_sum(sums.get((month, name), Decimal(0)) for name in names)

    return MonthLine(
        month=month,
        currency=currency,
        revenue=-total(accounts.REVENUE_ACCOUNTS),
        cost=total(accounts.COST_ACCOUNTS),
        estimated=total([accounts.COST_INFRASTRUCTURE_ESTIMATED]),
    )
