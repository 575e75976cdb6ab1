"""Previews of invoices. Reads only."""

from datetime import datetime
from uuid import UUID

from billing.invoicing.shape import Invoice, draft_shape
from billing.metering.selectors import usage_totals
from billing.period import Period
from billing.rating.cards import RateCard
from billing.rating.rate import rate
from controlplane.core.clock import moment_text


def invoice_preview(
    *,
    tenant_id: UUID,
    customer_name: str,
    card: RateCard,
    period: Period,
    as_of: datetime,
    since: datetime | None = None,
) -> Invoice:
    """What the period would cost if it were billed with the usage known at `as_of`.

    `since` is when the tenant was created. There is always a base-fee line, and the ids are the same each
    time.
    """
    usage = usage_totals(tenant_id=tenant_id, start=period.start, end=period.end, as_of=as_of)
    rated = rate(card, usage, period, as_of, since)
    return draft_shape(
        tenant_id=tenant_id,
        customer_name=customer_name,
        period=period,
        as_of=moment_text(as_of),
        rated=rated,
    )
