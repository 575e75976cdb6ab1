"""What a tenant owes for a period. Invoices, previews, reports, budgets and accruals ask here. Reads only."""

from datetime import datetime

from billing.customer import Customer
from billing.metering.selectors import usage_totals
from billing.period import Period
from billing.rating.cards import RateCard
from billing.rating.rate import RatedLines, rate
from controlplane.core.errors import OperatorError


def charges_of(
    *,
    customer: Customer,
    period: Period,
    as_of: datetime,
    known_at: datetime | None = None,
    fallback: RateCard | None = None,
) -> RatedLines:
    """The period's charges with what had been used at `as_of`; `known_at`: as they were known then.

    `fallback` is the plan's card, for a tenant without an agreement. Raises OperatorError where there is
    neither.
    """
    if fallback is None:
        raise OperatorError(
            f"{customer.slug} has no agreement and no rate card.",
            hint="Give its plan a rate card in plans.toml.",
        )
    usage = usage_totals(tenant_id=customer.id, start=period.start, end=period.end, as_of=as_of)
    return rate(fallback, usage, period, as_of, customer.created_at)
