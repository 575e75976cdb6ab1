"""The part of issuing an invoice that every kind goes through: what it says, what pays for it, its number."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.charges.selectors import charges_of
from billing.directory import BilledCustomer
from billing.exact import WIDE, decimal_text, exact_sum, money_text
from billing.invoicing import states
from billing.invoicing.cards import cards_in_force
from billing.invoicing.drafts import (
    NOTHING,
    DraftLine,
    correction_lines,
    credit_shares,
    line_of_charge,
    pending_settlements,
    store_line,
    subtotal_of,
    with_taxes,
)
from billing.invoicing.export import fingerprint_of
from billing.invoicing.models import Invoice, InvoiceLine, LegalEntity, Settlement
from billing.invoicing.numbering import number_take
from billing.invoicing.parties import billing_profile_of, buyer_of, legal_entity_of, seller_of
from billing.invoicing.tax import Party, tax_provider
from billing.ledger.postings import (
    credits_apply,
    invoice_post,
)
from billing.period import Period
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict
from embedded.crashpoints import crash_point


@dataclass(frozen=True)
class Composed:
    """What a period's invoice would say before credits and taxes, and what it was rated by."""

    currency: str
    lines: list[DraftLine]
    settlements: list[Settlement]
    facts: dict[str, Any]

    @property
    def subtotal(self) -> Decimal:
        return subtotal_of(self.lines)


def invoice_compose(
    *, customer: BilledCustomer, period: Period, as_of: datetime, known_at: datetime
) -> Composed:
    """The period's charges with what was known at `known_at`, and the corrections of earlier periods that wait."""
    fallback = customer.fallback
    rated = charges_of(customer=customer, period=period, as_of=as_of, known_at=known_at, fallback=fallback)
    settlements = pending_settlements(tenant_id=customer.id, currency=rated.currency)
    lines = [line_of_charge(line) for line in rated.lines] + correction_lines(settlements)
    facts = {
        "currency": rated.currency,
        "as_of": as_of,
        "known_at": known_at,
        "rate_card_key": rated.card_key,
        "rate_card_version": rated.card_version,
        "cards": cards_in_force(customer=customer, period=period, known_at=known_at, fallback=fallback),
        "fallback_card": dict(customer.rate_card),
    }
    return Composed(rated.currency, lines, settlements, facts)


def invoice_issue(
    *, invoice: Invoice, customer: BilledCustomer, composed: Composed, at: datetime, actor: str
) -> Invoice:
    """The part of finalizing that every invoice goes through. Runs in the caller's transaction, which holds the
    tenant's invoices."""
    period, currency, subtotal = period_of_invoice(invoice), composed.currency, composed.subtotal
    if subtotal < 0:
        raise Conflict(
            f"The charges come to {money_text(subtotal, currency)} {currency}.",
            code="negative_invoice",
            hint="Credit an earlier invoice instead.",
        )
    entity = legal_entity_of(team_id=customer.team_id, at=at)
    credits = credits_apply(
        tenant_id=customer.id, currency=currency, up_to=subtotal, invoice_id=invoice.pk, at=at
    )
    crash_point("billing.close.credited")
    lines, facts = _taxed(composed, customer, entity, credits, period, at)
    lines_store(invoice, lines)
    Settlement.objects.filter(pk__in=[row.pk for row in composed.settlements]).update(
        state=states.INVOICED, invoice=invoice
    )
    total = exact_sum([subtotal, -credits, facts["tax"]])
    invoice = facts_set(
        invoice, {**composed.facts, **facts, "subtotal": subtotal, "credits": credits, "total": total}
    )
    invoice.legal_entity, invoice.finalized_at = entity, at
    invoice.due_at = at + timedelta(days=entity.due_days)
    invoice.number = number_take(legal_entity=entity, kind="invoice")
    crash_point("billing.close.numbered")
    _numbered_save(invoice)
    invoice_post(
        tenant_id=customer.id, invoice_id=invoice.pk, number=invoice.number, period=period, currency=currency,
        subtotal=subtotal, credits=credits, tax=facts["tax"], total=total, at=at,
    )  # fmt: skip
    crash_point("billing.close.posted")
    if not total:
        invoice_move(invoice, states.PAID, paid_at=at, paid_amount=NOTHING, state_reason="nothing to pay")
    invoice_audit(invoice, "invoice.finalized", actor, at, number=invoice.number, total=decimal_text(total))
    return invoice


def period_of_invoice(invoice: Invoice) -> Period:
    return Period(start=invoice.period_start, end=invoice.period_end)


def lines_store(invoice: Invoice, lines: list[DraftLine]) -> None:
    invoice.lines.all().delete()
    InvoiceLine.objects.bulk_create(
        [store_line(invoice.pk, position, line) for position, line in enumerate(lines, start=1)]
    )


def facts_set(invoice: Invoice, facts: dict[str, Any]) -> Invoice:
    for name, value in facts.items():
        setattr(invoice, name, value)
    return invoice


def _taxed(
    composed: Composed,
    customer: BilledCustomer,
    entity: LegalEntity,
    credits: Decimal,
    period: Period,
    at: datetime,
) -> tuple[list[DraftLine], dict[str, Any]]:
    """The lines with their taxes, and what the invoice says of both parties and the tax."""
    profile = billing_profile_of(tenant_id=customer.id, at=at)
    shares = credit_shares(composed.lines, credits, composed.currency)
    bases = [WIDE.subtract(line.amount, share) for line, share in zip(composed.lines, shares, strict=True)]
    taxes = tax_provider(kind=entity.tax_provider, rates=entity.tax_rates).taxes(
        seller=Party(entity.country, entity.tax_id),
        buyer=Party(profile.country, profile.tax_id),
        at=at,
        currency=composed.currency,
        bases=bases,
    )
    facts = {
        "tax": exact_sum(tax.amount for tax in taxes.lines),
        "tax_note": taxes.note,
        "seller": seller_of(entity),
        "buyer": buyer_of(customer, profile),
    }
    return with_taxes(composed.lines, taxes, period), facts


def _numbered_save(invoice: Invoice) -> None:
    """The last write of amounts: from here on the trigger refuses any other."""
    invoice.state = states.FINALIZED
    invoice.fingerprint = fingerprint_of(invoice, list(invoice.lines.order_by("position")))
    invoice.save()


def invoice_move(invoice: Invoice, state: str, **facts: Any) -> None:
    """The guarded update; Conflict when the invoice is in no state that allows it."""
    moved = Invoice.objects.filter(pk=invoice.pk, state__in=states.ALLOWED_FROM[state]).update(
        state=state, **facts
    )
    invoice.refresh_from_db()
    if moved != 1:
        raise Conflict(
            f"The invoice is {invoice.state}, and cannot become {state}.",
            code="invoice_state",
            hint=f"Only {' and '.join(states.ALLOWED_FROM[state])} ones can.",
        )


def invoice_audit(invoice: Invoice, action: str, actor: str, at: datetime, **data: Any) -> None:
    audit_record(
        at=at, actor=actor, action=action, subject_type="invoice", subject_id=str(invoice.pk),
        team_id=invoice.team_id, data={"tenant": str(invoice.tenant_id), **data},
    )  # fmt: skip
