"""Tables of reports: who gets them when, what was sent, and links for people without a login."""

from django.db import models

from controlplane.core.ids import uuid7

MONTHLY = "monthly"
WEEKLY = "weekly"
CADENCES = (MONTHLY, WEEKLY)

#: How much a link shows.
USAGE = "usage"
INVOICES = "usage_invoices"
ALL = "all"
LINK_SCOPES = (USAGE, INVOICES, ALL)


class ReportSchedule(models.Model):
    """Sends the report of one tenant, or of all of a team's, by the clock."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    #: Null: all tenants of the team.
    tenant_id = models.UUIDField(null=True)
    cadence = models.CharField(max_length=10, choices=[(c, c) for c in CADENCES])
    #: Of the file that e-mails carry; a webhook carries the report itself.
    format = models.CharField(max_length=4)
    emails = models.JSONField(default=list)
    #: core.OutboundEndpoint.
    endpoint_id = models.UUIDField(null=True)
    active = models.BooleanField(default=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    next_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["next_at"], condition=models.Q(active=True), name="report_schedule_due"),
            models.Index(fields=["team_id", "-created_at"], name="report_schedule_of_team"),
        ]

    def __str__(self) -> str:
        return f"{self.cadence} {self.id}"


class ReportDelivery(models.Model):
    """A report that was written for a schedule and one of its times. The constraint lets it be sent once."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    schedule = models.ForeignKey(ReportSchedule, on_delete=models.CASCADE, related_name="deliveries")
    #: The moment it was due: `2026-12-01` for November's.
    due_on = models.DateField()
    #: YYYY-MM of the month it is about.
    period = models.CharField(max_length=7)
    #: Why it could not be written; empty when its messages are in the outbox.
    problem = models.CharField(max_length=500, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    written_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["schedule", "due_on"], name="report_once_per_schedule_and_time")
        ]

    def __str__(self) -> str:
        return f"{self.period} for {self.schedule_id}"


class ReportLink(models.Model):
    """Lets whoever holds its address read what `scope` names of one tenant. Only the token's SHA-256 is kept: it has
    256 random bits, so a slow hash would add cost and no strength."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    tenant_id = models.UUIDField()
    label = models.CharField(max_length=100, blank=True)
    #: Fixed when it is made. The default is the database's too: a server of the release before may make one meanwhile.
    scope = models.CharField(
        max_length=20, choices=[(s, s) for s in LINK_SCOPES], default=USAGE, db_default=USAGE
    )
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "-created_at"], name="report_link_of_tenant")]

    def __str__(self) -> str:
        return f"{self.label} ({self.id})"
