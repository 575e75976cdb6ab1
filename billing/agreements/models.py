"""Tables of agreements. The migration adds the exclusion and the trigger that keeps published cards as they are."""

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models

from controlplane.core.ids import uuid7


class RateCardVersion(models.Model):
    """A published rate card. Immutable, by a trigger. `body` is the card; `sha256` is of its canonical JSON."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    effective_from = models.DateTimeField()
    body = models.JSONField()
    sha256 = models.CharField(max_length=64)
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["key", "version"], name="rate_card_version_once"),
        ]

    def __str__(self) -> str:
        return f"{self.key} v{self.version}"


class Agreement(models.Model):
    """One per tenant, in one currency. Its number serves the exclusion of its phases, as a span slot's does."""

    tenant_id = models.UUIDField(unique=True)
    currency = models.CharField(max_length=3)
    starts_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.currency}"


class AgreementPhase(models.Model):
    """The terms during `span`, as known during `known` (its end open while they stand).

    Rows are never changed but for the end of `known`; of what is known at one moment, no two phases of an
    agreement overlap. `plan` is the tenant's during it. `card_version` null: the version
    in force. `overrides` is billing.rating.cards.Overrides.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agreement = models.ForeignKey(Agreement, on_delete=models.PROTECT, related_name="phases")
    span = DateTimeRangeField()
    known = DateTimeRangeField()
    plan = models.CharField(max_length=80)
    card_key = models.CharField(max_length=80)
    card_version = models.PositiveIntegerField(null=True)
    overrides = models.JSONField(default=dict)
    trial_until = models.DateTimeField(null=True)
    recorded_by = models.CharField(max_length=200)
    reason = models.CharField(max_length=500, blank=True)

    def __str__(self) -> str:
        return f"{self.card_key} {self.span}"
