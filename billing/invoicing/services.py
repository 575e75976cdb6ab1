"""Drafts and issues invoices, and moves them through their states. Each is one transaction with its postings and its
audit row; an issued invoice never changes but for its state."""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing.directory import BilledCustomer
from billing.exact import WIDE, decimal_text, exact_sum, money_text
from billing.invoicing import states
from billing.invoicing.drafts import (
    NOTHING,
    invoice_id_of,
)
from billing.invoicing.issuing import (
    Composed,
    facts_set,
    invoice_audit,
    invoice_compose,
    invoice_issue,
    invoice_move,
    lines_store,
    period_of_invoice,
)
from billing.invoicing.locks import invoice_lock, tenant_invoices_lock
from billing.invoicing.models import Invoice, Settlement, TenantClose
from billing.invoicing.parties import billing_profile_of, buyer_of
from billing.ledger.postings import (
    invoice_paid_post,
    invoice_uncollectible_post,
    invoice_void_post,
)
from billing.period import Period
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, ValidationFailed


def invoice_draft(
    *, customer: BilledCustomer, period: Period, at: datetime, actor: str, known_at: datetime | None = None
) -> Invoice:
    """Makes the period's draft, or makes it anew with what is known at `known_at` (by default `at`).

    Raises Conflict (`already_invoiced`) once the period's invoice is issued.
    """
    known = known_at or at
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=customer.id)
        composed = invoice_compose(customer=customer, period=period, as_of=known, known_at=known)
        invoice = _draft_row(customer, period, composed.currency, at)
        profile = billing_profile_of(tenant_id=customer.id, at=at)
        composed.facts["buyer"] = buyer_of(customer, profile)
        _draft_fill(invoice, composed)
        audit_record(
            at=at, actor=actor, action="invoice.drafted", subject_type="invoice", subject_id=str(invoice.pk),
            team_id=customer.team_id, data={"tenant": customer.slug, "period": period.key},
        )  # fmt: skip
    return invoice


def invoice_finalize(
    *, invoice: Invoice, customer: BilledCustomer, at: datetime, actor: str, known_at: datetime | None = None
) -> Invoice:
    """Issues a draft: rated anew as known at `known_at` (by default `at`), credits applied, taxed, numbered, posted.

    An invoice of which nothing is left to pay is paid at once. Raises Conflict when it is no draft
    (`invoice_not_draft`), the period goes on (`period_open`), or the charges are negative (`negative_invoice`).
    """
    known, period = known_at or at, period_of_invoice(invoice)
    if period.end > known and not (customer.ended_at is not None and customer.ended_at <= known):
        raise Conflict(
            f"The period ends at {period.end:%Y-%m-%d %H:%M} UTC.",
            code="period_open",
            hint="An invoice is finalized when its period is over; until then there is the preview.",
        )
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=customer.id)
        locked = invoice_lock(invoice_id=invoice.pk)
        if locked.state != states.DRAFT:
            raise Conflict(f"The invoice is {locked.state}.", code="invoice_not_draft")
        composed = invoice_compose(customer=customer, period=period, as_of=known, known_at=known)
        if composed.currency != locked.currency:
            raise Conflict(
                f"The terms are in {composed.currency} now, and the draft is in {locked.currency}.",
                code="currency_changed",
                hint="Make the period's draft anew.",
            )
        return invoice_issue(invoice=locked, customer=customer, composed=composed, at=at, actor=actor)


def invoice_void(*, invoice: Invoice, reason: str, at: datetime, actor: str) -> Invoice:
    """Takes an issued invoice back as if it had not been: its period may be invoiced anew, under another number.

    Corrections that it carried wait again; those of its own period that wait are dropped. Raises Conflict from
    another state, or when it was credited (`invoice_credited`).
    """
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=invoice.tenant_id)
        if invoice.credit_notes.exists():
            raise Conflict(
                "The invoice has credit notes.",
                code="invoice_credited",
                hint="Credit the rest of it instead.",
            )
        invoice_move(invoice, states.VOID, voided_at=at, state_reason=reason)
        Settlement.objects.filter(base=invoice, state=states.PENDING).update(state=states.DROPPED)
        for carried in Settlement.objects.filter(invoice=invoice, state=states.INVOICED):
            _settlement_release(carried)
        invoice_void_post(tenant_id=invoice.tenant_id, invoice_id=invoice.pk, at=at)
        invoice_audit(invoice, "invoice.voided", actor, at, reason=reason)
    return invoice


def invoice_pay(
    *, invoice: Invoice, reference: str, at: datetime, actor: str, amount: Decimal | None = None
) -> Invoice:
    """A payment of what is due, told by a person. `amount` is a check: it must be what is due.

    Raises ValidationFailed naming `amount`, Conflict from a state that cannot be paid.
    """
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=invoice.tenant_id)
        invoice.refresh_from_db()
        due = amount_due(invoice)
        if amount is not None and amount != due:
            shown = money_text(due, invoice.currency)
            raise ValidationFailed.of("amount", f"must be what is due, {shown} {invoice.currency}")
        invoice_move(invoice, states.PAID, paid_at=at, paid_amount=due, payment_reference=reference)
        if due:
            invoice_paid_post(
                tenant_id=invoice.tenant_id, invoice_id=invoice.pk, amount=due, reference=reference, at=at
            )
        invoice_audit(invoice, "invoice.paid", actor, at, reference=reference, amount=decimal_text(due))
    return invoice


def invoice_uncollectible(*, invoice: Invoice, reason: str, at: datetime, actor: str) -> Invoice:
    """Gives up what is open; a payment may still come in."""
    with transaction.atomic():
        tenant_invoices_lock(tenant_id=invoice.tenant_id)
        invoice_move(invoice, states.UNCOLLECTIBLE, uncollectible_at=at, state_reason=reason)
        invoice_uncollectible_post(tenant_id=invoice.tenant_id, invoice_id=invoice.pk, at=at)
        invoice_audit(invoice, "invoice.uncollectible", actor, at, reason=reason)
    return invoice


def amount_due(invoice: Invoice) -> Decimal:
    """What is left to pay: the total less its credit notes, never less than zero; nothing of a draft, a paid or a
    void one."""
    if invoice.state not in states.OWED:
        return NOTHING
    credited = exact_sum(note.total for note in invoice.credit_notes.all())
    return max(WIDE.subtract(invoice.total, credited), NOTHING)


def draft_remove(invoice: Invoice) -> None:
    """Within the caller's transaction, which holds the tenant's invoices. The database refuses it for issued ones."""
    TenantClose.objects.filter(invoice=invoice).update(invoice=None)
    invoice.lines.all().delete()
    invoice.delete()


def _draft_row(customer: BilledCustomer, period: Period, currency: str, at: datetime) -> Invoice:
    found = Invoice.objects.filter(
        tenant_id=customer.id, period_start=period.start, period_end=period.end, kind=states.REGULAR
    )
    standing = found.exclude(state=states.VOID).first()
    if standing is not None and standing.state != states.DRAFT:
        raise Conflict(
            f"The period is invoiced as {standing.number}.",
            code="already_invoiced",
            hint="Late usage becomes a correction; POST /api/v1/invoices/{id}/settle.",
        )
    if standing is not None and standing.currency == currency:
        return standing
    if standing is not None:
        draft_remove(standing)
    return Invoice.objects.create(
        id=invoice_id_of(customer.id, period, earlier=found.filter(state=states.VOID).count()),
        team_id=customer.team_id,
        tenant_id=customer.id,
        currency=currency,
        period_start=period.start,
        period_end=period.end,
        as_of=at,
        known_at=at,
        created_at=at,
    )


def _draft_fill(invoice: Invoice, composed: Composed) -> None:
    lines_store(invoice, composed.lines)
    subtotal = composed.subtotal
    facts_set(
        invoice,
        {**composed.facts, "subtotal": subtotal, "credits": NOTHING, "tax": NOTHING, "total": subtotal},
    ).save()


def _settlement_release(settlement: Settlement) -> None:
    """Back to waiting, unless a newer one of its period waits: that one knows more, and counts this one as undone."""
    newer = Settlement.objects.filter(base=settlement.base, state=states.PENDING).exists()
    void = settlement.base.state == states.VOID
    settlement.state = states.DROPPED if newer or void else states.PENDING
    settlement.invoice = None
    settlement.save(update_fields=["state", "invoice"])
