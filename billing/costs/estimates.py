"""The infrastructure's cost by the priced plan, a day at a time, until the provider's bill takes its place."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import transaction
from django.db.models import Max, Min, Q, Sum

from billing.costs.days import day_period
from billing.costs.models import CostLine
from billing.costs.stacks import StackCost
from billing.exact import WIDE, decimal_text, exact_sum, quantity
from billing.ledger import accounts
from billing.ledger.journal import Entry, journal_post
from billing.ledger.locks import book_lock
from billing.ledger.models import JournalEntry, JournalTransaction
from billing.ledger.selectors import transaction_find

#: A month of the price tables (contracts/planned.py: CostEstimate).
MONTH = timedelta(hours=730)


@dataclass(frozen=True)
class DayCost:
    amount: Decimal
    gpu: Decimal
    unknown: int


def day_costs(day: date, costs: Sequence[StackCost]) -> dict[str, DayCost]:
    """What the stack cost on that day, by currency: each price for the seconds that it stood. Pure.

    `costs` are in the order of time; nothing for a stack that cost nothing then.
    """
    period = day_period(day)
    found: dict[str, DayCost] = {}
    for index, cost in enumerate(costs):
        begins = max(cost.since, period.start)
        ends = min(costs[index + 1].since if index + 1 < len(costs) else period.end, period.end)
        if begins >= ends or not (cost.monthly or cost.unknown):
            continue
        share = (ends - begins) // timedelta(microseconds=1), MONTH // timedelta(microseconds=1)
        so_far = found.get(cost.currency, DayCost(Decimal(0), Decimal(0), 0))
        found[cost.currency] = DayCost(
            WIDE.add(so_far.amount, quantity(WIDE.multiply(cost.monthly, share[0]), share[1])),
            WIDE.add(so_far.gpu, quantity(WIDE.multiply(cost.gpu, share[0]), share[1])),
            max(so_far.unknown, cost.unknown),
        )
    return found


def infrastructure_estimate(
    *, tenant_id: UUID, day: date, costs: Sequence[StackCost], at: datetime
) -> list[JournalTransaction]:
    """Posts a day that is over, once; a day that was posted stays as it is. Where the bill came first, it counts."""
    posted = []
    with transaction.atomic():
        book_lock(tenant_id)
        for currency, cost in day_costs(day, costs).items():
            key = f"cost_estimate:{tenant_id}:{day}:{currency}"
            if transaction_find(key) is not None:
                continue
            posted.append(
                journal_post(
                    key=key,
                    kind="cost_estimate",
                    at=at,
                    tenant_id=tenant_id,
                    currency=currency,
                    entries=[
                        Entry(accounts.COST_INFRASTRUCTURE_ESTIMATED, cost.amount),
                        Entry(accounts.COST_CLEARING, -cost.amount),
                    ],
                    about=f"The stack's priced cost on {day}",
                    period=day_period(day),
                    data={"gpu": decimal_text(cost.gpu), "unknown": cost.unknown},
                )
            )
        if posted:
            for pool_id, feed in _feeds(tenant_id, day):
                _replace(tenant_id, _closed_before(pool_id, feed), [day], at)
    return posted


def estimates_replace(*, pool_id: UUID, feed: str, tenant_ids: Iterable[UUID], at: datetime) -> None:
    """Lets the bill take the place of estimates. Runs in the caller's transaction, which holds the books.

    A day is closed once the feed has a later one, or all of the tenant's lines of it are final: its estimate goes.
    On a day still open the estimate shrinks by what is billed so far, so that neither counts twice.
    """
    closed_before = _closed_before(pool_id, feed)
    for tenant_id in tenant_ids:
        lines = CostLine.objects.filter(pool_id=pool_id, feed=feed, book_id=tenant_id)
        ends = lines.aggregate(first=Min("day"), last=Max("day"))
        if ends["first"] is not None:
            count = (ends["last"] - ends["first"]).days + 1
            _replace(tenant_id, closed_before, [ends["first"] + timedelta(days=n) for n in range(count)], at)


def _feeds(tenant_id: UUID, day: date) -> list[tuple[UUID, str]]:
    found = CostLine.objects.filter(book_id=tenant_id, day=day).order_by()
    return list(found.values_list("pool_id", "feed").distinct())


def _closed_before(pool_id: UUID, feed: str) -> date | None:
    last: date | None = CostLine.objects.filter(pool_id=pool_id, feed=feed).aggregate(last=Max("day"))["last"]
    return last


def _replace(tenant_id: UUID, closed_before: date | None, days: Sequence[date], at: datetime) -> None:
    estimated = _sums(tenant_id, days, Q(transaction__kind="cost_estimate"))
    held = _sums(tenant_id, days, Q())
    billed = _billed(tenant_id, days)
    for (day, currency), amount in estimated.items():
        told = billed.get((day, currency))
        if told is None:
            continue
        sum_billed, final = told
        closed = final or (closed_before is not None and day < closed_before)
        wanted = Decimal(0) if closed else max(WIDE.subtract(amount, sum_billed), Decimal(0))
        difference = WIDE.subtract(wanted, held[day, currency])
        if difference:
            _difference_post(tenant_id, day, currency, difference, at)


def _difference_post(tenant_id: UUID, day: date, currency: str, difference: Decimal, at: datetime) -> None:
    key = f"cost_estimate:{tenant_id}:{day}:{currency}:replaced"
    earlier = JournalTransaction.objects.filter(key__startswith=f"{key}:").count()
    journal_post(
        key=f"{key}:{earlier + 1}",
        kind="cost_estimate_replaced",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[
            Entry(accounts.COST_INFRASTRUCTURE_ESTIMATED, difference),
            Entry(accounts.COST_CLEARING, -difference),
        ],
        about=f"The bill takes the estimate's place on {day}",
        period=day_period(day),
    )


def _sums(tenant_id: UUID, days: Sequence[date], which: Q) -> Mapping[tuple[date, str], Decimal]:
    """What the estimate's account holds, by (day, currency)."""
    found = JournalEntry.objects.filter(
        which,
        account=accounts.COST_INFRASTRUCTURE_ESTIMATED,
        transaction__tenant_id=tenant_id,
        transaction__service_start__gte=day_period(days[0]).start,
        transaction__service_start__lt=day_period(days[-1]).end,
    )
    rows = found.order_by().values("transaction__service_start", "transaction__currency")
    return {
        (row["transaction__service_start"].date(), row["transaction__currency"]): row["sum"]
        for row in rows.annotate(sum=Sum("amount"))
    }


def _billed(tenant_id: UUID, days: Sequence[date]) -> Mapping[tuple[date, str], tuple[Decimal, bool]]:
    """(amount, whether all of it is final) by (day, currency), of every feed."""
    lines = CostLine.objects.filter(book_id=tenant_id, day__gte=days[0], day__lte=days[-1])
    found: dict[tuple[date, str], list[tuple[Decimal, bool]]] = {}
    rows = lines.order_by().values("day", "currency", "final").annotate(sum=Sum("amount"))
    for row in rows:
        found.setdefault((row["day"], row["currency"]), []).append((row["sum"], row["final"]))
    return {
        key: (exact_sum(amount for amount, _ in parts), all(final for _, final in parts))
        for key, parts in found.items()
    }
