"""The margin of many books at once, a page of it with the sums of all: one statement over balances kept by the month.

Each line is what margin.py says of one book. GPU hours are those kept (gpu_kept.py), so idle cost may be an hour
behind; everything else is of this moment. Reads only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from billing.customer import Customer
from billing.ledger import accounts
from billing.ledger.gpu import GpuHours
from billing.ledger.margin import COST_KINDS, Margin, MarginLine
from billing.ledger.models import MonthGpu
from billing.period import Period


@dataclass(frozen=True)
class Books:
    """Which books, and the label that each is ordered by: a query of (id, label) for the database."""

    sql: str
    params: tuple[Any, ...]

    @classmethod
    def queried(cls, found: QuerySet[Any, tuple[UUID, str]]) -> "Books":
        return cls(*found.order_by().query.sql_with_params())

    @classmethod
    def listed(cls, found: Iterable[tuple[UUID, str]]) -> "Books":
        pairs = list(found)
        ids, labels = [book for book, _ in pairs], [label for _, label in pairs]
        return cls("SELECT * FROM unnest(%s::uuid[], %s::text[])", (ids, labels))


@dataclass(frozen=True)
class BookLine:
    """A book in one currency. `label` is empty for the fleet's own; `gpu` is None where there was none, and is without
    what was billed of it."""

    book_id: UUID
    label: str
    line: MarginLine
    gpu: GpuHours | None


@dataclass(frozen=True)
class FleetLines:
    """`lines` are those asked for, `totals` has the sum of all of each currency, `count` says how many lines there are,
    `gpu_known_at` the moment that the oldest of their GPU hours are of."""

    lines: tuple[BookLine, ...]
    totals: tuple[MarginLine, ...]
    count: int
    gpu_known_at: datetime | None


#: By what lines may be ordered, inside each currency: amounts of different currencies are not compared.
ORDERS: Final = {
    "tenant": "label",
    "revenue": "revenue",
    "cost": "cost",
    "margin": "revenue - cost",
    # Nothing earned is below every share.
    "percent": "CASE WHEN revenue > 0 THEN (revenue - cost) / revenue ELSE '-Infinity' END",
    "idle": "idle_cost",
}
_KINDS: Final = tuple(COST_KINDS)
# A month has one row for each account of a book: the greatest of them is that row, and costs less than a sum.
_COLUMNS: Final = {account: account for account in accounts.REVENUE_ACCOUNTS} | {
    "not_invoiced": accounts.CUSTOMER_ACCRUED,
    **COST_KINDS,
}
_AMOUNT_OF: Final = "coalesce(max(amount) FILTER (WHERE account = '{account}'), 0) AS {column}"
_HELD = ", ".join(
    _AMOUNT_OF.format(account=account, column=f"in_{name}") for name, account in _COLUMNS.items()
)
_REVENUE = "-({})".format(" + ".join(f"in_{account}" for account in accounts.REVENUE_ACCOUNTS))
_COST = " + ".join(f"in_{kind}" for kind in _KINDS)
_SHOWN: Final = ("revenue", "not_invoiced", *_KINDS, "idle_cost")
_AMOUNTS = ", ".join(_SHOWN)
_SUMS = ", ".join(f"sum({name})" for name in _SHOWN)
# Written by hand: the ORM has no join to a list of books, and two passes over thousands of them take twice as long.
# Idle cost is divided last, once, as to be exact.
_LINES = """
WITH books (book, label) AS ({books} UNION ALL SELECT %s::uuid, ''),
held AS (
    SELECT tenant_id, currency, {held}, sum(priced) AS priced, sum(priced_gpu) AS priced_gpu
    FROM billing_monthbalance
    WHERE month = %s AND account = ANY(%s) AND tenant_id IN (SELECT book FROM books)
    GROUP BY tenant_id, currency
),
lines AS MATERIALIZED (
    SELECT book, label, currency, {revenue} AS revenue, {cost} AS cost, in_not_invoiced AS not_invoiced, {kinds},
           CASE WHEN g.paid > 0 AND priced <> 0 THEN
               round((in_infrastructure + in_infrastructure_estimated) * priced_gpu * (g.paid - g.busy)
                     / (priced * g.paid), 12)
           ELSE 0 END AS idle_cost,
           g.paid, g.busy, g.as_of
    FROM held JOIN books ON books.book = held.tenant_id
    LEFT JOIN billing_monthgpu g ON g.month = %s AND g.tenant_id = books.book
    WHERE {revenue} <> 0 OR {any_cost}
),
numbered AS (
    SELECT *, row_number() OVER (ORDER BY currency, {order}, label, book) AS number, count(*) OVER () AS count
    FROM lines
)
(SELECT book, label, currency, {amounts}, paid, busy, as_of, number
 FROM numbered,
      LATERAL (SELECT least(%s::bigint, (count - 1) / %s::bigint * %s::bigint) AS first) AS page
 WHERE number > first AND number <= first + %s)
UNION ALL
(SELECT NULL, NULL, currency, {sums}, NULL, NULL, min(as_of), count(*) FROM lines GROUP BY currency)
"""


def fleet_lines(
    *,
    books: Books,
    pool_id: UUID,
    period: Period,
    order: str = "tenant",
    descending: bool = False,
    offset: int = 0,
    limit: int | None = None,
) -> FleetLines:
    """`limit` lines after the first `offset`, or the last page of them when there are not so many; all of them without
    a limit. `pool_id` is the fleet's own book, `order` one of ORDERS."""
    shown = list(_COLUMNS.values())
    statement = _LINES.format(
        books=books.sql,
        held=_HELD,
        revenue=_REVENUE,
        cost=_COST,
        kinds=", ".join(f"in_{kind} AS {kind}" for kind in _KINDS),
        any_cost=" OR ".join(f"in_{kind} <> 0" for kind in _KINDS),
        order=f"{ORDERS[order]} {'DESC' if descending else 'ASC'}",
        amounts=_AMOUNTS,
        sums=_SUMS,
    )
    most = limit or 2**40
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            [*books.params, pool_id, period.start, shown, period.start, offset, most, most, most],
        )
        rows = cursor.fetchall()
    listed = sorted((row for row in rows if row[0] is not None), key=lambda row: row[-1])
    sums = sorted((row for row in rows if row[0] is None), key=lambda row: row[2])
    known = [row[-2] for row in sums if row[-2] is not None]
    return FleetLines(
        lines=tuple(_book_line(row) for row in listed),
        totals=tuple(_margin_line(row[2:]) for row in sums),
        count=sum(row[-1] for row in sums),
        gpu_known_at=min(known, default=None),
    )


def fleet_margin(
    *, pool_id: UUID, tenants: Sequence[Customer], period: Period, billed: Mapping[UUID, Decimal]
) -> tuple[list[Margin], list[MarginLine]]:
    """Each tenant's margin, then the fleet's own book where anything is left in it; and the sums by currency.

    Tenants for which nothing is in the books have no lines. `billed` are the GPU hours that each was charged for.
    """
    found = fleet_lines(
        books=Books.listed((tenant.id, tenant.slug) for tenant in tenants), pool_id=pool_id, period=period
    )
    own: dict[UUID, list[MarginLine]] = {}
    for each in found.lines:
        own.setdefault(each.book_id, []).append(each.line)
    kept = MonthGpu.objects.filter(month=period.start, tenant_id__in=[tenant.id for tenant in tenants])
    hours = {
        tenant_id: (paid, busy) for tenant_id, paid, busy in kept.values_list("tenant_id", "paid", "busy")
    }
    none = (Decimal(0), Decimal(0))
    rows = [
        Margin(
            tenant.id,
            tuple(own.get(tenant.id, ())),
            GpuHours(*hours.get(tenant.id, none), billed.get(tenant.id, Decimal(0))),
        )
        for tenant in tenants
    ]
    if pool := own.get(pool_id):
        rows.append(Margin(pool_id, tuple(pool), None))
    return rows, list(found.totals)


def _book_line(row: Sequence[Any]) -> BookLine:
    paid, busy = row[-4:-2]
    gpu = None if paid is None else GpuHours(paid, busy, Decimal(0))
    return BookLine(row[0], row[1], _margin_line(row[2:]), gpu)


def _margin_line(amounts: Sequence[Any]) -> MarginLine:
    currency, revenue, not_invoiced, *rest = amounts
    return MarginLine(
        currency=currency,
        revenue=revenue,
        not_invoiced=not_invoiced,
        costs=dict(zip(_KINDS, rest, strict=False)),
        idle_cost=rest[len(_KINDS)],
    )
