"""Previews, and reads of invoices, credit notes and closes. Reads only.

`tenant_ids` None means every tenant of the team, as a principal carries it; whose they are is decided here.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db.models import Max, Prefetch, QuerySet

from billing.charges.selectors import charges_of
from billing.customer import Customer
from billing.invoicing import states
from billing.invoicing.models import CreditNote, Invoice, InvoiceLine, PeriodClose, TenantClose
from billing.invoicing.shape import Invoice as InvoiceShape
from billing.invoicing.shape import draft_shape
from billing.period import Period
from billing.rating.cards import RateCard
from controlplane.core.clock import moment_text
from controlplane.core.errors import NotFound

Row = TypeVar("Row", Invoice, CreditNote)


def invoice_preview(
    *, customer: Customer, period: Period, as_of: datetime, card: RateCard | None = None
) -> InvoiceShape:
    """What the period would cost if it were billed with the usage known at `as_of`.

    `card` is the plan's, for a tenant without an agreement. There is always a base-fee line, and the ids are
    the same each time: those of the invoice that the period will have. Credits, taxes and corrections of earlier
    months come with the invoice.
    """
    rated = charges_of(customer=customer, period=period, as_of=as_of, fallback=card)
    return draft_shape(
        tenant_id=customer.id,
        customer_name=customer.name,
        period=period,
        as_of=moment_text(as_of),
        rated=rated,
    )


def billed_until(*, tenant_id: UUID) -> datetime | None:
    """The end of the tenant's last month that has an issued invoice; None where there is none."""
    issued = Invoice.objects.filter(tenant_id=tenant_id, kind=states.REGULAR, state__in=states.ISSUED)
    found: datetime | None = issued.aggregate(end=Max("period_end"))["end"]
    return found


def invoices_visible(
    *,
    team_id: UUID,
    tenant_ids: Iterable[UUID] | None = None,
    tenant_id: UUID | None = None,
    period: Period | None = None,
    state: str | None = None,
) -> QuerySet[Invoice]:
    """With their lines and credit notes at hand."""
    found = _of(Invoice.objects.filter(team_id=team_id), tenant_ids)
    if tenant_id is not None:
        found = found.filter(tenant_id=tenant_id)
    if period is not None:
        found = found.filter(period_start=period.start, period_end=period.end)
    if state is not None:
        found = found.filter(state=state)
    lines = InvoiceLine.objects.order_by("position").select_related("settlement")
    return found.select_related("export").prefetch_related(Prefetch("lines", queryset=lines), "credit_notes")


def invoice_find(*, team_id: UUID, tenant_ids: Iterable[UUID] | None, invoice_id: UUID) -> Invoice:
    """NotFound for a stranger's too."""
    found = invoices_visible(team_id=team_id, tenant_ids=tenant_ids).filter(pk=invoice_id).first()
    if found is None:
        raise NotFound("There is no such invoice.", hint="GET /api/v1/invoices lists those you can see.")
    return found


def line_find(*, invoice: Invoice, line_id: UUID) -> InvoiceLine:
    found = next((line for line in invoice.lines.all() if line.pk == line_id), None)
    if found is None:
        raise NotFound("The invoice has no such line.", hint="The lines of the invoice have their ids.")
    return found


def credit_notes_visible(
    *, team_id: UUID, tenant_ids: Iterable[UUID] | None = None, tenant_id: UUID | None = None
) -> QuerySet[CreditNote]:
    found = _of(CreditNote.objects.filter(team_id=team_id), tenant_ids)
    return found if tenant_id is None else found.filter(tenant_id=tenant_id)


def closes_visible(*, team_id: UUID) -> QuerySet[PeriodClose]:
    turns = TenantClose.objects.order_by("slug", "tenant_id")
    return PeriodClose.objects.filter(team_id=team_id).prefetch_related(Prefetch("tenants", queryset=turns))


def close_find(*, team_id: UUID, close_id: UUID) -> PeriodClose:
    found = closes_visible(team_id=team_id).filter(pk=close_id).first()
    if found is None:
        raise NotFound("There is no such close.", hint="GET /api/v1/period-closes lists them.")
    return found


def _of(found: QuerySet[Row], tenant_ids: Iterable[UUID] | None) -> QuerySet[Row]:
    return found if tenant_ids is None else found.filter(tenant_id__in=list(tenant_ids))
