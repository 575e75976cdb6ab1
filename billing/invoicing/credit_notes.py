"""Credit notes: an issued invoice taken back in part, with a number of a series of its own."""

from collections.abc import Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db import transaction

from billing.currencies import minor_unit
from billing.exact import WIDE, decimal_text, exact_product, exact_sum, money_text
from billing.invoicing import states
from billing.invoicing.locks import tenant_invoices_lock
from billing.invoicing.models import CreditNote, Invoice
from billing.invoicing.numbering import number_take
from billing.ledger.postings import credit_note_post
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, ValidationFailed


def credit_note_issue(
    *,
    invoice: Invoice,
    amount: Decimal,
    reason: str,
    at: datetime,
    actor: str,
    lines: Sequence[dict[str, Any]] = (),
    capped: bool = True,
) -> CreditNote:
    """Credits `amount` (net, in whole minor units) and its tax, at the invoice's own average rate of tax.

    Raises ValidationFailed naming `amount` when it is not positive, not whole, or more than is left of the invoice;
    Conflict (`invoice_state`) unless the invoice is issued. Not `capped`, it may be more than is left: it takes back
    what correction invoices had added, too. What was paid already is owed back (the ledger's
    `refund_payable`).
    """
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=invoice.tenant_id)
        invoice.refresh_from_db()
        if invoice.state not in states.ISSUED or invoice.legal_entity is None:
            raise Conflict(f"The invoice is {invoice.state}.", code="invoice_state")
        if capped:
            _amount_check(invoice, amount)
        tax = _tax(invoice, amount, capped=capped)
        note = CreditNote.objects.create(
            invoice=invoice,
            team_id=invoice.team_id,
            tenant_id=invoice.tenant_id,
            number=number_take(legal_entity=invoice.legal_entity, kind="credit_note"),
            legal_entity=invoice.legal_entity,
            currency=invoice.currency,
            amount=amount,
            tax=tax,
            total=WIDE.add(amount, tax),
            reason=reason,
            seller=invoice.seller,
            buyer=invoice.buyer,
            lines=list(lines),
            created_at=at,
        )
        credit_note_post(
            tenant_id=invoice.tenant_id, credit_note_id=note.pk, invoice_id=invoice.pk,
            currency=invoice.currency, amount=amount, tax=tax, at=at,
        )  # fmt: skip
        audit_record(
            at=at, actor=actor, action="credit_note.issued", subject_type="invoice", subject_id=str(invoice.pk),
            team_id=invoice.team_id,
            data={"number": note.number, "amount": decimal_text(amount), "reason": reason},
        )  # fmt: skip
    return note


def _amount_check(invoice: Invoice, amount: Decimal) -> None:
    unit = minor_unit(invoice.currency)
    if amount <= 0 or amount != amount.quantize(unit, context=WIDE):
        raise ValidationFailed.of(
            "amount", f"must be a positive number of {decimal_text(unit)} {invoice.currency}"
        )
    left = WIDE.subtract(invoice.subtotal, exact_sum(note.amount for note in invoice.credit_notes.all()))
    if amount > left:
        raise ValidationFailed.of(
            "amount", f"must not be more than is left of the invoice, {money_text(left, invoice.currency)}"
        )


def _tax(invoice: Invoice, amount: Decimal, *, capped: bool) -> Decimal:
    """The last credit note takes what is left of the tax, so that a whole invoice's credit notes take all of it."""
    if not invoice.tax:
        return Decimal(0)
    notes = list(invoice.credit_notes.all())
    credited = exact_sum(note.amount for note in notes)
    taken = exact_sum(note.tax for note in notes)
    if WIDE.add(credited, amount) == invoice.subtotal:
        return WIDE.subtract(invoice.tax, taken)
    exact = WIDE.divide(exact_product(amount, invoice.tax), invoice.subtotal)
    share = exact.quantize(minor_unit(invoice.currency), rounding=ROUND_HALF_UP, context=WIDE)
    return min(share, WIDE.subtract(invoice.tax, taken)) if capped else share
