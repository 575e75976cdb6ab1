"""Any invoice's charges, computed again as they were known at some moment. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.charges.selectors import charges_of
from billing.invoicing import states
from billing.invoicing.drafts import DraftLine, line_of_charge, line_of_store, subtotal_of
from billing.invoicing.issuing import period_of_invoice
from billing.invoicing.models import Invoice
from billing.invoicing.parties import customer_of_buyer
from billing.rating.cards import RateCard
from controlplane.core.errors import Conflict


@dataclass(frozen=True)
class AsKnown:
    """Charges of the invoice's period, without corrections of others and without taxes. `differs` compares them with
    the stored ones, by what each line says and comes to."""

    known_at: datetime
    lines: list[DraftLine]
    stored: list[DraftLine]

    @property
    def subtotal(self) -> Decimal:
        return subtotal_of(self.lines)

    @property
    def differs(self) -> bool:
        return self.lines != self.stored


def invoice_as_known(*, invoice: Invoice, at: datetime) -> AsKnown:
    """As known at `at`; at the invoice's own `known_at` it is what the invoice says.

    The customer, its fees' beginning and its plan's prices are as the invoice remembers them. Raises Conflict
    (`not_regular`) for a correction invoice, which has no charges of its own.
    """
    if invoice.kind != states.REGULAR:
        raise Conflict("A correction invoice has no charges of its own.", code="not_regular")
    rated = charges_of(
        customer=customer_of_buyer(invoice.tenant_id, invoice.buyer),
        period=period_of_invoice(invoice),
        as_of=at,
        known_at=at,
        fallback=None if invoice.fallback_card is None else RateCard.model_validate(invoice.fallback_card),
    )
    own = invoice.lines.exclude(kind__in=("tax", "correction")).order_by("position")
    return AsKnown(at, [line_of_charge(line) for line in rated.lines], [line_of_store(line) for line in own])
