"""Previews of invoices. Reads only."""

from datetime import datetime

from billing.charges.selectors import charges_of
from billing.customer import Customer
from billing.invoicing.shape import Invoice, draft_shape
from billing.period import Period
from billing.rating.cards import RateCard
from controlplane.core.clock import moment_text


def invoice_preview(
    *, customer: Customer, period: Period, as_of: datetime, card: RateCard | None = None
) -> Invoice:
    """What the period would cost if it were billed with the usage known at `as_of`.

    `card` is the plan's, for a tenant without an agreement. There is always a base-fee line, and the ids are
    the same each time.
    """
    rated = charges_of(customer=customer, period=period, as_of=as_of, fallback=card)
    return draft_shape(
        tenant_id=customer.id,
        customer_name=customer.name,
        period=period,
        as_of=moment_text(as_of),
        rated=rated,
    )
