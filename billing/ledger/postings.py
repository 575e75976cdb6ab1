"""What happens to revenue, as postings. docs/guides/ledger.md has the table of accounts that each one moves.

Each runs inside the caller's transaction, under the lock of the tenant's book, and posts once: called again with the
same arguments it changes nothing, called again with others it raises Conflict (`journal_key_conflict`).
"""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.exact import WIDE, decimal_text, exact_sum
from billing.ledger import accounts
from billing.ledger.consumption import consumption
from billing.ledger.grants import grants_remaining, grants_usable
from billing.ledger.journal import Entry, journal_post, journal_reverse
from billing.ledger.locks import book_lock
from billing.ledger.models import JournalTransaction
from billing.ledger.selectors import invoice_stands, subject_balance, transaction_find
from billing.ledger.settlement import (
    accrued,
    credits_applied,
    invoice_posted,
    money_check,
    moved_since,
    owed_on,
    promotions_used,
    service_period,
    settle,
    told,
    unchanged,
)
from billing.period import Period
from controlplane.core.errors import Conflict

NOTHING = Decimal(0)


def revenue_accrue(
    *, tenant_id: UUID, period: Period, currency: str, accrued_total: Decimal, at: datetime
) -> Decimal:
    """Makes the period's accrued revenue `accrued_total`; returns the difference that it posted, 0 for none.

    A period whose invoice stands accrues nothing more: late usage is a correction invoice or a credit note.
    """
    money_check(currency, accrued_total)
    book_lock(tenant_id)
    if invoice_stands(tenant_id=tenant_id, currency=currency, period=period):
        return NOTHING
    difference = WIDE.subtract(accrued_total, accrued(tenant_id, currency, period))
    if not difference:
        return NOTHING
    earlier = JournalTransaction.objects.filter(
        kind="accrual",
        tenant_id=tenant_id,
        currency=currency,
        service_start=period.start,
        service_end=period.end,
    ).count()
    journal_post(
        key=f"accrual:{tenant_id}:{period.start.isoformat()}:{period.end.isoformat()}:{currency}:{earlier + 1}",
        kind="accrual",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[
            Entry(accounts.CUSTOMER_ACCRUED, difference),
            Entry(accounts.REVENUE, -difference),
        ],
        about=f"Earned in {period.key} so far",
        period=period,
    )
    return difference


def credits_apply(
    *, tenant_id: UUID, currency: str, up_to: Decimal, invoice_id: UUID, at: datetime
) -> Decimal:
    """Pays for an invoice from the tenant's credits, at most `up_to`; returns how much.

    Call it before `invoice_post`, which wants to see what was applied. Once per invoice: called again it returns
    what it returned.
    """
    money_check(currency, up_to)
    book_lock(tenant_id)
    key = f"invoice:{invoice_id}:credits"
    if (posted := transaction_find(key)) is not None:
        return credits_applied(posted)
    taken = consumption(
        grants_usable(tenant_id=tenant_id, currency=currency, at=at),
        grants_remaining(tenant_id=tenant_id),
        up_to,
    )
    if not taken:
        return NOTHING
    total = exact_sum(amount for _, amount in taken)
    used = [Entry(accounts.CREDIT_ACCOUNTS[grant.source], amount, grant.id) for grant, amount in taken]
    journal_post(
        key=key,
        kind="credits_applied",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[*used, Entry(accounts.CUSTOMER_RECEIVABLE, -total, invoice_id)],
        about="Credits used for an invoice",
        data={"invoice": str(invoice_id)},
    )
    return total


def invoice_post(
    *,
    tenant_id: UUID,
    invoice_id: UUID,
    number: str,
    period: Period,
    currency: str,
    subtotal: Decimal,
    credits: Decimal,
    tax: Decimal,
    total: Decimal,
    at: datetime,
) -> JournalTransaction:
    """Turns what was accrued for the period, and the rest of `subtotal`, into what the customer owes.

    Raises ValueError unless `total` is subtotal - credits + tax and `credits` is what `credits_apply` applied.
    """
    money_check(currency, subtotal, credits, tax, total)
    if total != exact_sum((subtotal, -credits, tax)):
        raise ValueError(f"invoice {number}: {total} is not {subtotal} - {credits} + {tax}")
    book_lock(tenant_id)
    asked = told(
        invoice=str(invoice_id), number=number, subtotal=subtotal, credits=credits, tax=tax, total=total
    )
    key = f"invoice:{invoice_id}"
    if (posted := transaction_find(key)) is not None:
        return unchanged(posted, asked)
    applied = transaction_find(f"{key}:credits")
    if credits != (NOTHING if applied is None else credits_applied(applied)):
        raise ValueError(f"invoice {number}: {credits} of credits are not what was applied to it")
    earned = accrued(tenant_id, currency, period)
    return journal_post(
        key=key,
        kind="invoice",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[
            Entry(accounts.CUSTOMER_RECEIVABLE, WIDE.add(subtotal, tax), invoice_id),
            Entry(accounts.CUSTOMER_ACCRUED, -earned),
            Entry(accounts.REVENUE, WIDE.subtract(earned, subtotal)),
            Entry(accounts.TAX_PAYABLE, -tax),
            *promotions_used(applied),
        ],
        about=f"Invoice {number}",
        period=period,
        data=asked,
    )


def invoice_void_post(*, tenant_id: UUID, invoice_id: UUID, at: datetime) -> JournalTransaction:
    """Takes an invoice back: its revenue is accrued again, and credits return to their grants.

    Raises Conflict (`invoice_has_movements`) once it was paid, credited or given up.
    """
    book_lock(tenant_id)
    invoice = invoice_posted(tenant_id, invoice_id)
    already = hasattr(invoice, "reversed_by")
    if not already and moved_since(invoice_id):
        raise Conflict(
            "Payments or credit notes were posted for this invoice.",
            code="invoice_has_movements",
            hint="Credit it by a credit note instead.",
        )
    if (applied := transaction_find(f"invoice:{invoice_id}:credits")) is not None:
        journal_reverse(original=applied, at=at, about="Credits returned: the invoice was voided")
    return journal_reverse(original=invoice, at=at, about=f"{invoice.about} voided")


def invoice_paid_post(
    *, tenant_id: UUID, invoice_id: UUID, amount: Decimal, reference: str, at: datetime
) -> JournalTransaction:
    """A payment came in, once per `reference`. What had been given up as uncollectible is recovered.

    Raises Conflict (`payment_exceeds_invoice`) for more than was open.
    """
    book_lock(tenant_id)
    invoice = invoice_posted(tenant_id, invoice_id)
    money_check(invoice.currency, amount)
    key = f"invoice:{invoice_id}:payment:{reference}"
    asked = told(invoice=str(invoice_id), reference=reference, amount=amount)
    if (posted := transaction_find(key)) is not None:
        return unchanged(posted, asked)
    settled, rest = settle(invoice_id, amount)
    if rest or amount <= 0:
        raise Conflict(
            f"{decimal_text(amount)} {invoice.currency} is not what can be paid on this invoice: "
            f"{decimal_text(owed_on(invoice_id))} is open.",
            code="payment_exceeds_invoice",
            hint="Post what belongs to this invoice; sell credits for what is beyond it.",
        )
    return journal_post(
        key=key,
        kind="payment",
        at=at,
        tenant_id=tenant_id,
        currency=invoice.currency,
        entries=[Entry(accounts.CASH, amount), *settled],
        about=f"Payment {reference} on {invoice.about}",
        period=service_period(invoice),
        data=asked,
    )


def invoice_uncollectible_post(*, tenant_id: UUID, invoice_id: UUID, at: datetime) -> JournalTransaction:
    """Gives up what is still open of an invoice."""
    book_lock(tenant_id)
    invoice = invoice_posted(tenant_id, invoice_id)
    key = f"invoice:{invoice_id}:uncollectible"
    if (posted := transaction_find(key)) is not None:
        return posted
    still_open = subject_balance(account=accounts.CUSTOMER_RECEIVABLE, subject=invoice_id)
    return journal_post(
        key=key,
        kind="uncollectible",
        at=at,
        tenant_id=tenant_id,
        currency=invoice.currency,
        entries=[
            Entry(accounts.BAD_DEBT, still_open, invoice_id),
            Entry(accounts.CUSTOMER_RECEIVABLE, -still_open, invoice_id),
        ],
        about=f"{invoice.about} given up",
        period=service_period(invoice),
        data={"invoice": str(invoice_id)},
    )


def credit_note_post(
    *,
    tenant_id: UUID,
    credit_note_id: UUID,
    invoice_id: UUID,
    currency: str,
    amount: Decimal,
    tax: Decimal,
    at: datetime,
) -> JournalTransaction:
    """Takes `amount` (net) and its `tax` off an invoice, in the invoice's service period.

    It settles what is open first, then what was given up; what is beyond is owed back (`refund_payable`).
    """
    money_check(currency, amount, tax)
    book_lock(tenant_id)
    invoice = invoice_posted(tenant_id, invoice_id)
    if currency != invoice.currency:
        raise ValueError(f"credit note {credit_note_id}: the invoice is in {invoice.currency}")
    key = f"credit_note:{credit_note_id}"
    asked = told(credit_note=str(credit_note_id), invoice=str(invoice_id), amount=amount, tax=tax)
    if (posted := transaction_find(key)) is not None:
        return unchanged(posted, asked)
    settled, rest = settle(invoice_id, WIDE.add(amount, tax))
    return journal_post(
        key=key,
        kind="credit_note",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[
            Entry(accounts.REVENUE, amount),
            Entry(accounts.TAX_PAYABLE, tax),
            *settled,
            Entry(accounts.REFUND_PAYABLE, -rest, invoice_id),
        ],
        about=f"Credit note on {invoice.about}",
        period=service_period(invoice),
        data=asked,
    )


def refund_post(
    *, tenant_id: UUID, subject: UUID, currency: str, amount: Decimal, reference: str, at: datetime
) -> JournalTransaction:
    """Pays back what is owed on an invoice or a voided grant (`subject`), once per `reference`.

    Raises Conflict (`refund_exceeds_owed`) for more than is owed back.
    """
    money_check(currency, amount)
    book_lock(tenant_id)
    key, asked = f"refund:{subject}:{reference}", told(subject=str(subject), amount=amount)
    if (posted := transaction_find(key)) is not None:
        return unchanged(posted, asked)
    owed = -subject_balance(account=accounts.REFUND_PAYABLE, subject=subject)
    if not 0 < amount <= owed:
        raise Conflict(f"{decimal_text(owed)} {currency} is owed back.", code="refund_exceeds_owed")
    return journal_post(
        key=key,
        kind="refund",
        at=at,
        tenant_id=tenant_id,
        currency=currency,
        entries=[Entry(accounts.REFUND_PAYABLE, amount, subject), Entry(accounts.CASH, -amount)],
        about=f"Refund {reference}",
        data=asked,
    )
