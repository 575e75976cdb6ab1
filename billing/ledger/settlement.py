"""What postings ask of the books before they post: what an invoice still owes, and how an amount settles it."""

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from billing.currencies import minor_unit
from billing.exact import WIDE, decimal_text, exact_sum
from billing.ledger import accounts
from billing.ledger.journal import Entry, entries_of
from billing.ledger.models import PROMOTION, CreditGrant, JournalEntry, JournalTransaction
from billing.ledger.selectors import period_balance, subject_balance, transaction_find
from billing.period import Period
from controlplane.core.errors import Conflict, NotFound

#: Kinds of postings on an invoice after which it cannot be voided.
MOVEMENTS = ("payment", "credit_note", "uncollectible")


def money_check(currency: str, *amounts: Decimal) -> None:
    """Raises ValueError for an amount that is finer than the currency can be paid in."""
    unit = minor_unit(currency)
    for amount in amounts:
        if amount % unit:
            raise ValueError(f"{amount} is not a whole number of {unit} {currency}")


def accrued(tenant_id: UUID, currency: str, period: Period) -> Decimal:
    return period_balance(
        tenant_id=tenant_id, currency=currency, account=accounts.CUSTOMER_ACCRUED, period=period
    )


def invoice_posted(tenant_id: UUID, invoice_id: UUID) -> JournalTransaction:
    """The invoice's own posting. Raises NotFound (`invoice_not_posted`)."""
    posted = transaction_find(f"invoice:{invoice_id}")
    if posted is None or posted.tenant_id != tenant_id:
        raise NotFound("The ledger holds no such invoice of this tenant.", code="invoice_not_posted")
    return posted


def service_period(posted: JournalTransaction) -> Period:
    return Period(posted.service_start, posted.service_end)


def owed_on(invoice_id: UUID) -> Decimal:
    """What could still come in on an invoice: open, or given up."""
    return exact_sum(_claims(invoice_id).values())


def settle(invoice_id: UUID, amount: Decimal) -> tuple[list[Entry], Decimal]:
    """The credits by which `amount` settles what is open, then what was given up; and what is left of it."""
    entries = []
    for account, claim in _claims(invoice_id).items():
        part = min(amount, claim)
        entries.append(Entry(account, -part, invoice_id))
        amount = WIDE.subtract(amount, part)
    return entries, amount


def moved_since(invoice_id: UUID) -> bool:
    return JournalEntry.objects.filter(subject=invoice_id, transaction__kind__in=MOVEMENTS).exists()


def credits_applied(posted: JournalTransaction) -> Decimal:
    """How much of an invoice a posting of `credits_apply` paid."""
    return -exact_sum(
        each.amount for each in entries_of(posted) if each.account == accounts.CUSTOMER_RECEIVABLE
    )


def promotions_used(applied: JournalTransaction | None) -> list[Entry]:
    """Promotional credits reduce the revenue of the invoice they were used for, at the moment they are used."""
    if applied is None:
        return []
    used = [each for each in entries_of(applied) if each.account == accounts.PROMOTIONAL_CREDITS]
    total = exact_sum(each.amount for each in used)
    issued = [Entry(accounts.PROMOTIONAL_ISSUED, -each.amount, each.subject) for each in used]
    return [Entry(accounts.REVENUE_PROMOTION, total), *issued]


def grant_unused(grant: CreditGrant, amount: Decimal, *, against: str) -> list[Entry]:
    """Takes `amount` of a grant that nobody will use. `against` gets it, unless the credit was a gift."""
    to = accounts.PROMOTIONAL_ISSUED if grant.source == PROMOTION else against
    return [Entry(accounts.CREDIT_ACCOUNTS[grant.source], amount, grant.id), Entry(to, -amount, grant.id)]


def told(**amounts: Decimal | str) -> dict[str, str]:
    """What a posting was asked for, as it is kept with it."""
    return {key: value if isinstance(value, str) else decimal_text(value) for key, value in amounts.items()}


def unchanged(posted: JournalTransaction, asked: Mapping[str, str]) -> JournalTransaction:
    """The stored posting, if it was asked for in the same words. Raises Conflict (`journal_key_conflict`)."""
    if posted.data != dict(asked):
        raise Conflict(
            f"The journal holds {posted.key} already, of other amounts ({posted.data}).",
            code="journal_key_conflict",
            hint="What was posted stays. Post a correction under a key of its own.",
        )
    return posted


def _claims(invoice_id: UUID) -> dict[str, Decimal]:
    return {
        account: max(subject_balance(account=account, subject=invoice_id), Decimal(0))
        for account in (accounts.CUSTOMER_RECEIVABLE, accounts.BAD_DEBT)
    }
