"""Tables of the ledger. Migrations add by SQL what Django cannot say: rows that never change, sums of zero, balances
that are kept while entries come."""

from typing import Final

from django.db import models
from django.db.models import Q

from controlplane.core.ids import uuid7

PURCHASE: Final = "purchase"
PROMOTION: Final = "promotion"
SOURCES: Final = (PURCHASE, PROMOTION)


class LedgerBook(models.Model):
    """One row per book, for its lock alone. A book is a tenant's, or the fleet's own (then the id is the team's)."""

    tenant_id = models.UUIDField(primary_key=True)

    def __str__(self) -> str:
        return str(self.tenant_id)


class JournalTransaction(models.Model):
    """Some entries that belong together and sum to zero. Never changed: a correction is another transaction.

    `key` makes it happen once. `tenant_id` names the book. `service_start` and `service_end` are the period that
    was served, which may be long before `at`, the moment that the books moved.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.TextField(unique=True)
    kind = models.TextField()
    at = models.DateTimeField()
    tenant_id = models.UUIDField()
    currency = models.CharField(max_length=3)
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    #: How many entries it has: none can be added later.
    size = models.PositiveSmallIntegerField()
    about = models.TextField()
    data = models.JSONField(default=dict)
    reverses = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, related_name="reversed_by", editable=False
    )

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "service_start"], name="journal_by_service"),
            models.Index(fields=["tenant_id", "at"], name="journal_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class JournalEntry(models.Model):
    """One movement of one account: debits are positive. `subject` is the invoice or grant it is about, if any."""

    transaction = models.ForeignKey(JournalTransaction, on_delete=models.PROTECT, related_name="entries")
    position = models.PositiveSmallIntegerField()
    account = models.TextField()
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    subject = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["transaction", "position"], name="journal_entry_once"),
            models.CheckConstraint(condition=~Q(amount=0), name="journal_entry_moves_something"),
        ]
        indexes = [
            models.Index(
                fields=["subject", "account"],
                name="journal_entry_subject",
                condition=Q(subject__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.amount}"


class MonthBalance(models.Model):
    """What an account of a book moved for services that began in a month (UTC); debits positive.

    The database adds every entry to it as it is written (migration `kept_months`), in the same transaction. `priced`
    is the part of it that was posted as estimates of the stack's cost, `priced_gpu` how much of that its GPUs are.
    """

    pk = models.CompositePrimaryKey("month", "tenant_id", "currency", "account")
    month = models.DateTimeField()
    tenant_id = models.UUIDField()
    currency = models.CharField(max_length=3)
    account = models.TextField()
    amount = models.DecimalField(max_digits=38, decimal_places=12)
    priced = models.DecimalField(max_digits=38, decimal_places=12)
    priced_gpu = models.DecimalField(max_digits=38, decimal_places=12)

    def __str__(self) -> str:
        return f"{self.account} {self.month:%Y-%m} {self.amount} {self.currency}"


class MonthGpu(models.Model):
    """Hours that a tenant's GPUs existed in a month, and of them those in which a run was going, as known at `as_of`.

    Kept by gpu_kept.py, since to tell the busy hours every run of the month must be read.
    """

    pk = models.CompositePrimaryKey("month", "tenant_id")
    month = models.DateTimeField()
    tenant_id = models.UUIDField()
    paid = models.DecimalField(max_digits=50, decimal_places=12)
    busy = models.DecimalField(max_digits=50, decimal_places=12)
    as_of = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.month:%Y-%m} {self.busy} of {self.paid} h"


class CreditGrant(models.Model):
    """Credit that a tenant bought or was given. What is left of it is a query on the journal (credits.py).

    A smaller `priority` is used first. It can be used from `effective_at` until `expires_at` (None: for ever).
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    name = models.CharField(max_length=200)
    source = models.CharField(max_length=16, choices=[(s, s) for s in SOURCES])
    currency = models.CharField(max_length=3)
    amount = models.DecimalField(max_digits=20, decimal_places=4)
    priority = models.PositiveSmallIntegerField(default=50)
    effective_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id", "-created_at"], name="credit_grant_of_tenant"),
            models.Index(
                fields=["expires_at"], name="credit_grant_expiring", condition=Q(voided_at__isnull=True)
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="credit_grant_of_something"),
            models.CheckConstraint(
                condition=Q(expires_at__isnull=True) | Q(expires_at__gt=models.F("effective_at")),
                name="credit_grant_expires_later",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.amount} {self.currency}"
