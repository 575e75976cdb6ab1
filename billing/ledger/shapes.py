"""Margins as the API shows them: exact decimal strings, so that a client can add them up itself. Pure."""

from collections.abc import Iterable, Mapping
from typing import TypedDict
from uuid import UUID

from billing.exact import decimal_text
from billing.ledger.gpu import GpuHours
from billing.ledger.margin import Margin, MarginLine
from billing.period import Period


class MarginSum(TypedDict):
    currency: str
    revenue: str
    not_invoiced: str
    costs: dict[str, str]
    cost: str
    margin: str
    margin_percent: str | None
    idle_cost: str


class GpuSum(TypedDict):
    paid_hours: str
    busy_hours: str
    idle_hours: str
    billed_hours: str


class MarginShape(TypedDict):
    """`tenant` is null for the fleet's own book: overhead that nobody's direct cost could take."""

    tenant: str | None
    period: str
    lines: list[MarginSum]
    gpu: GpuSum | None


def margin_representation(margin: Margin, *, slug: str | None, period: Period) -> MarginShape:
    return MarginShape(
        tenant=slug,
        period=period.key,
        lines=[line_representation(line) for line in margin.lines],
        gpu=None if margin.gpu is None else _gpu(margin.gpu),
    )


def fleet_representation(
    rows: Iterable[Margin], totals: Iterable[MarginLine], *, slugs: Mapping[UUID, str], period: Period
) -> dict[str, object]:
    """{period, totals, tenants}, the tenants in the order given."""
    return {
        "period": period.key,
        "totals": [line_representation(line) for line in totals],
        "tenants": [margin_representation(row, slug=slugs.get(row.book_id), period=period) for row in rows],
    }


def line_representation(line: MarginLine) -> MarginSum:
    percent = line.margin_percent
    return MarginSum(
        currency=line.currency,
        revenue=decimal_text(line.revenue),
        not_invoiced=decimal_text(line.not_invoiced),
        costs={kind: decimal_text(amount) for kind, amount in line.costs.items()},
        cost=decimal_text(line.cost),
        margin=decimal_text(line.margin),
        margin_percent=None if percent is None else decimal_text(percent),
        idle_cost=decimal_text(line.idle_cost),
    )


def _gpu(hours: GpuHours) -> GpuSum:
    return GpuSum(
        paid_hours=decimal_text(hours.paid),
        busy_hours=decimal_text(hours.busy),
        idle_hours=decimal_text(hours.idle),
        billed_hours=decimal_text(hours.billed),
    )
