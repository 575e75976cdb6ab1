"""Tables of the standing: what causes it, what it is, what it was."""

from django.db import models

from billing.standing import states
from controlplane.core.ids import uuid7


class Standing(models.Model):
    """One row for each tenant that ever was not `current`. `version` grows with each change, so whoever acts on it
    can tell that it has seen this one."""

    tenant_id = models.UUIDField(primary_key=True)
    standing = models.CharField(
        max_length=20, choices=[(s, s) for s in states.STANDINGS], default=states.CURRENT
    )
    reason = models.CharField(max_length=500, blank=True)
    #: Of states.ACTIONS, in that order.
    actions = models.JSONField(default=list)
    since = models.DateTimeField()
    version = models.PositiveIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.standing}"


class StandingCause(models.Model):
    """Why a tenant is not current, as one source sees it. Gone when that source takes it back."""

    tenant_id = models.UUIDField()
    #: Who holds it, such as `budget:<id>`.
    source = models.CharField(max_length=80)
    standing = models.CharField(max_length=20, choices=[(s, s) for s in states.STANDINGS[1:]])
    reason = models.CharField(max_length=500)
    actions = models.JSONField(default=list)
    since = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant_id", "source"], name="standing_cause_once_per_source")
        ]
        indexes = [models.Index(fields=["source"], name="standing_cause_source")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.standing} by {self.source}"


class StandingChange(models.Model):
    """What the standing was from `at` on. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    version = models.PositiveIntegerField()
    before = models.CharField(max_length=20)
    after = models.CharField(max_length=20)
    reason = models.CharField(max_length=500, blank=True)
    actions = models.JSONField(default=list)
    actor = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "version"], name="standing_change_once")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.before} -> {self.after}"
