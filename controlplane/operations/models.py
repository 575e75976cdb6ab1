"""Operations (units of change), their steps and events, and what is known of each stack."""

from django.db import models
from django.db.models import Q

from controlplane.core.ids import uuid7
from controlplane.operations import states


class Stack(models.Model):
    """What the last operation left behind: outputs, resources, versions. Secrets are encrypted."""

    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.PROTECT, related_name="stack")
    name = models.CharField(max_length=120)
    program_version = models.CharField(max_length=64, blank=True)
    state_version = models.PositiveIntegerField(default=0)
    outputs = models.JSONField(default=dict)
    secret_outputs = models.TextField(blank=True)
    resources = models.JSONField(default=list)
    #: A run was killed and may have left a backend lock behind; the next run clears it first.
    lock_suspect = models.BooleanField(default=False)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class Operation(models.Model):
    """One change to one stack, from the request to its end."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.PROTECT, related_name="operations")
    kind = models.CharField(max_length=24, choices=[(k, k) for k in states.KINDS])
    state = models.CharField(max_length=24, choices=[(s, s) for s in states.STATES], default=states.QUEUED)
    reason = models.CharField(max_length=500, blank=True)
    requested_by = models.CharField(max_length=200)
    priority = models.PositiveSmallIntegerField(default=states.PRIORITY_PERSON)
    spec = models.JSONField()
    requires_approval = models.BooleanField(default=False)
    approval_rule = models.CharField(max_length=16, default="stateful")
    #: Whoever requested it may not approve it, whatever the installation's rule is.
    second_person = models.BooleanField(default=False)
    #: What the request chose beside the kind, such as the snapshot that is restored.
    arguments = models.JSONField(default=dict)
    #: Why the plan waits for a person; empty when it does not.
    approval_reason = models.CharField(max_length=500, blank=True)
    approved_by = models.CharField(max_length=200, blank=True)
    #: What the newest plan was computed from (binding.PlanBinding), and the one that was approved.
    binding = models.JSONField(null=True)
    approved_binding = models.JSONField(null=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    #: How often a dead worker's run was taken over since a person last asked for it.
    takeovers = models.PositiveSmallIntegerField(default=0)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    plan_summary = models.JSONField(null=True)
    plan = models.JSONField(null=True)
    #: What policy and prices said of the newest plan (contracts.planned.PlanAssessment).
    assessment = models.JSONField(null=True)
    #: By how much a plan may raise the monthly cost before a person must approve; None: by any amount.
    approval_cost_increase = models.DecimalField(max_digits=14, decimal_places=2, null=True)
    error = models.JSONField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField()
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # The database itself keeps two runners off one stack, whatever the workers believe.
            models.UniqueConstraint(
                fields=["tenant"],
                condition=Q(state__in=sorted(states.RUNNING)),
                name="one_running_operation_per_stack",
            )
        ]
        indexes = [
            models.Index(
                fields=["priority", "queued_at"], condition=Q(state=states.QUEUED), name="operation_queue"
            ),
            models.Index(fields=["tenant", "-created_at"], name="operation_of_tenant"),
            models.Index(fields=["-created_at", "-id"], name="operation_newest"),
            # Every page counts what is open, among all that has ended.
            models.Index(
                fields=["tenant"], condition=Q(state__in=sorted(states.OPEN)), name="operation_open"
            ),
            # What the time that an operation takes is estimated from.
            models.Index(
                fields=["kind", "-finished_at"],
                condition=Q(state=states.SUCCEEDED, attempt=1, takeovers=0),
                name="operation_undisturbed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.state})"


class Step(models.Model):
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    index = models.PositiveSmallIntegerField()
    name = models.CharField(max_length=24)
    state = models.CharField(max_length=16, default=states.STEP_PENDING)
    detail = models.CharField(max_length=500, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    #: counts.step_counts, once the step has ended.
    counts = models.JSONField(null=True)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["operation", "name"], name="step_once")]

    def __str__(self) -> str:
        return f"{self.name} ({self.state})"


class OperationEvent(models.Model):
    """A line of the timeline. `id` grows within an operation in the order of commit: one writer at a time."""

    id = models.BigAutoField(primary_key=True)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    type = models.CharField(max_length=24)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["operation", "id"], name="event_of_operation")]

    def __str__(self) -> str:
        return f"{self.type} of {self.operation_id}"
