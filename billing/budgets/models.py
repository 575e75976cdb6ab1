"""Tables of budgets and of what they said."""

from django.db import models

from controlplane.core.ids import uuid7

OPEN = "open"
CLOSED = "closed"


class Budget(models.Model):
    """How much one tenant, or all of a team's, may cost in a calendar month."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    #: Null: all tenants of the team.
    tenant_id = models.UUIDField(null=True)
    name = models.CharField(max_length=100)
    amount = models.DecimalField(max_digits=20, decimal_places=3)
    currency = models.CharField(max_length=3)
    #: Of thresholds.ThresholdWire, the lowest percent first.
    thresholds = models.JSONField()
    #: What happens while it cannot be evaluated: open changes nothing, closed blocks new runs.
    on_unknown = models.CharField(max_length=8, choices=[(w, w) for w in (OPEN, CLOSED)], default=OPEN)
    #: Whether a tenant that it suspended is resumed by itself once the suspension is lifted.
    resume_afterwards = models.BooleanField(default=False)
    emails = models.JSONField(default=list)
    #: core.OutboundEndpoint.
    endpoint_id = models.UUIDField(null=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    #: The newest evaluation that worked (evaluate.figures_wire), and when it was.
    figures = models.JSONField(null=True)
    evaluated_at = models.DateTimeField(null=True)
    #: Why the newest try did not work; empty when it did.
    problem = models.CharField(max_length=500, blank=True)
    tried_at = models.DateTimeField(null=True)
    next_evaluation_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["tenant_id"], name="budget_of_tenant"),
            models.Index(fields=["team_id"], name="budget_of_team"),
            models.Index(fields=["next_evaluation_at"], name="budget_due"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.amount} {self.currency})"


class BudgetAlert(models.Model):
    """A threshold was reached, with what was known then. The constraint lets it fire once in a period; only after the
    budget was raised above what it had reached (`rearmed_at`) may it fire again."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="alerts")
    #: YYYY-MM.
    period = models.CharField(max_length=7)
    on = models.CharField(max_length=10)
    percent = models.DecimalField(max_digits=6, decimal_places=2)
    actions = models.JSONField()
    #: The budget's, then.
    amount = models.DecimalField(max_digits=20, decimal_places=3)
    value = models.DecimalField(max_digits=30, decimal_places=3)
    figures = models.JSONField()
    fired_at = models.DateTimeField()
    rearmed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["budget", "period", "on", "percent"],
                condition=models.Q(rearmed_at__isnull=True),
                name="budget_threshold_once_per_period",
            )
        ]

    def __str__(self) -> str:
        return f"{self.percent} % of {self.budget_id} in {self.period}"
