"""Balances: sums over the journal, whose every figure can be traced to its entries. Reads only.

A calendar month's are read from where the database keeps them (MonthBalance), all others are added up."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import QuerySet, Sum

from billing.ledger.models import JournalEntry, JournalTransaction, MonthBalance
from billing.period import Period, period_of

#: (currency, account)
BalanceKey = tuple[str, str]


def balances(
    *, tenant_id: UUID, period: Period | None = None, at: datetime | None = None
) -> dict[BalanceKey, Decimal]:
    """Each account's balance in the tenant's book, debits positive; accounts that never moved are left out.

    `period` narrows it to what was served in it (whose service began in it), `at` to what was posted until then.
    """
    return {
        (currency, account): amount
        for (_, currency, account), amount in balances_of(
            tenant_ids=[tenant_id], period=period, at=at
        ).items()
    }


def balances_of(
    *, tenant_ids: Iterable[UUID], period: Period | None = None, at: datetime | None = None
) -> dict[tuple[UUID, str, str], Decimal]:
    """The same for several books at once: {(book, currency, account): balance}."""
    if period is not None and at is None and period == period_of(period.start):
        kept = MonthBalance.objects.filter(month=period.start, tenant_id__in=list(tenant_ids))
        rows = kept.values_list("tenant_id", "currency", "account", "amount")
        return {(book, currency, account): amount for book, currency, account, amount in rows}
    found = entries_in(tenant_ids=tenant_ids, period=period, at=at)
    return {
        (row["transaction__tenant_id"], row["transaction__currency"], row["account"]): row["sum"]
        for row in found.values("transaction__tenant_id", "transaction__currency", "account")
        .annotate(sum=Sum("amount"))
        .order_by()
    }


def entries_in(
    *, tenant_ids: Iterable[UUID], period: Period | None = None, at: datetime | None = None
) -> QuerySet[JournalEntry]:
    found = JournalEntry.objects.filter(transaction__tenant_id__in=list(tenant_ids))
    if period is not None:
        found = found.filter(
            transaction__service_start__gte=period.start, transaction__service_start__lt=period.end
        )
    if at is not None:
        found = found.filter(transaction__at__lte=at)
    return found


def subject_balance(*, account: str, subject: UUID) -> Decimal:
    """What an account holds for one invoice or grant, debits positive."""
    found = JournalEntry.objects.filter(account=account, subject=subject)
    return found.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def period_balance(*, tenant_id: UUID, currency: str, account: str, period: Period) -> Decimal:
    """What an account holds for exactly this service period."""
    found = JournalEntry.objects.filter(
        account=account,
        transaction__tenant_id=tenant_id,
        transaction__currency=currency,
        transaction__service_start=period.start,
        transaction__service_end=period.end,
    )
    return found.aggregate(sum=Sum("amount"))["sum"] or Decimal(0)


def transaction_find(key: str) -> JournalTransaction | None:
    return JournalTransaction.objects.filter(key=key).first()


def invoice_stands(*, tenant_id: UUID, currency: str, period: Period) -> bool:
    """Whether an invoice for exactly this service period was posted and not voided."""
    return JournalTransaction.objects.filter(
        kind="invoice",
        tenant_id=tenant_id,
        currency=currency,
        service_start=period.start,
        service_end=period.end,
        reversed_by__isnull=True,
    ).exists()
