"""The tenant: a customer with a stack of its own."""

from django.db import models
from django.db.models import Q, Value

from controlplane.core.ids import uuid7
from controlplane.tenants import states
from controlplane.tenants.snapshots import states as snapshot_states


class Tenant(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="tenants")
    slug = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    plan = models.CharField(max_length=40)
    target = models.CharField(max_length=40)
    region = models.CharField(max_length=40)
    contact_email = models.EmailField(blank=True)
    labels = models.JSONField(default=dict)
    overrides = models.JSONField(default=dict)
    lifecycle = models.CharField(
        max_length=20, choices=[(s, s) for s in states.LIFECYCLES], default=states.REQUESTED
    )
    health = models.CharField(max_length=20, choices=[(s, s) for s in states.HEALTHS], default=states.UNKNOWN)
    #: Of an earlier release, and written by nobody: looks are counted for each component.
    health_seen = models.CharField(max_length=20, default=states.UNKNOWN)
    health_streak = models.PositiveSmallIntegerField(default=0)
    health_checks = models.JSONField(default=list)
    health_checked_at = models.DateTimeField(null=True)
    billing = models.CharField(
        max_length=20, choices=[(s, s) for s in states.STANDINGS], default=states.CURRENT
    )
    deletion_protection = models.BooleanField(default=False)
    runtime_url = models.CharField(max_length=300, blank=True)
    #: Which block of ports on this machine; null for other targets and once deprovisioned.
    slot = models.PositiveSmallIntegerField(null=True)
    #: In AWS: the account, the network (CIDR; null once deprovisioned) and the zones that it was given for life.
    cloud_account = models.CharField(max_length=12, null=True)
    network = models.CharField(max_length=18, null=True)
    zones = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    sealed_secrets = models.TextField(blank=True)
    usage_key_id = models.UUIDField(null=True)
    #: The release of the runtime it is pinned to; "": never pinned, so the shipped one. See releases.py.
    runtime_version = models.CharField(max_length=64, blank=True, default="", db_default="")
    #: Generation of its credentials, and usage keys that earlier ones may still use; see rotation.py.
    credentials = models.PositiveIntegerField(default=1, db_default=1)
    retiring_usage_key_ids = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    #: The snapshot that is restored once the tenant is provisioned.
    restore_from = models.UUIDField(null=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True)
    deprovisioned_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            # A slug names stacks, folders and hosts: one living tenant each, over all teams.
            models.UniqueConstraint(
                fields=["slug"],
                condition=~Q(lifecycle=states.DEPROVISIONED),
                name="one_living_tenant_per_slug",
            ),
            models.UniqueConstraint(
                fields=["slot"], condition=Q(slot__isnull=False), name="one_tenant_per_slot"
            ),
            models.UniqueConstraint(
                fields=["cloud_account", "network"],
                condition=Q(network__isnull=False),
                name="one_tenant_per_network",
            ),
        ]
        indexes = [models.Index(fields=["team", "-created_at"], name="tenant_of_team")]

    def __str__(self) -> str:
        return self.slug


class ComponentHealth(models.Model):
    """What is shown of one component of a tenant, and what the last looks at it said (debounce.py)."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="components")
    component = models.CharField(max_length=20)
    health = models.CharField(max_length=20, default=states.UNKNOWN)
    seen = models.CharField(max_length=20, default=states.UNKNOWN)
    streak = models.PositiveSmallIntegerField(default=0)
    #: When what is shown began.
    since = models.DateTimeField()
    checked_at = models.DateTimeField(null=True)
    #: Of the last look; null when it got no answer.
    latency_ms = models.PositiveIntegerField(null=True)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "component"], name="component_once")]

    def __str__(self) -> str:
        return f"{self.component} of {self.tenant_id}: {self.health}"


class StandingEnactment(models.Model):
    """What was done about a tenant's billing standing (billing/standing), which asks and cannot act itself."""

    tenant = models.OneToOneField(
        Tenant, on_delete=models.CASCADE, primary_key=True, related_name="standing_enactment"
    )
    #: Whether the runtime was told to refuse new runs, with which reason, and when it was last told anything.
    runs_paused = models.BooleanField(default=False)
    pause_reason = models.CharField(max_length=500, blank=True)
    told_at = models.DateTimeField(null=True)
    #: Whether this call for no GPUs was answered; the suspension that it asked for, null where it rested already.
    zero_asked = models.BooleanField(default=False)
    suspend_operation = models.UUIDField(null=True)
    resume_afterwards = models.BooleanField(default=False)
    #: Why something could not be done yet; it is tried again.
    problem = models.CharField(max_length=500, blank=True)
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"standing of {self.tenant_id}"


class Snapshot(models.Model):
    """A copy of a tenant's data at one moment; it may outlive the tenant. The files lie in its folder."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="snapshots")
    operation = models.ForeignKey("operations.Operation", on_delete=models.PROTECT, related_name="snapshots")
    kind = models.CharField(max_length=16, choices=[(k, k) for k in snapshot_states.KINDS])
    state = models.CharField(
        max_length=16, choices=[(s, s) for s in snapshot_states.STATES], default=snapshot_states.CREATING
    )
    reason = models.CharField(max_length=500, blank=True)
    size_bytes = models.BigIntegerField(default=0)
    #: contracts.snapshot.SnapshotManifest once it is complete, and the hash by which its file is known again.
    manifest = models.JSONField(null=True)
    manifest_sha256 = models.CharField(max_length=64, blank=True)
    #: The key of its files; gone with the snapshot.
    sealed_key = models.TextField(blank=True)
    #: Under what the runtime sealed the data in them (runtime_secrets.StorageKey); gone with the snapshot.
    sealed_storage_keys = models.TextField(blank=True, db_default="", default="")
    created_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["tenant", "-created_at"], name="snapshot_of_tenant"),
            models.Index(
                fields=["expires_at"],
                condition=Q(state=snapshot_states.COMPLETE),
                name="snapshot_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} snapshot {self.id} ({self.state})"


class BulkRequest(models.Model):
    """One thing asked of several tenants. Each of them is a row of its own, which says what became of it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="bulk_requests")
    actor = models.CharField(max_length=200)
    #: Made up by whoever asks, so that asking again is the same request.
    key = models.CharField(max_length=64)
    verb = models.CharField(max_length=20)
    #: Of a label {key, value}; an empty value takes it off. Of a plan {plan}.
    wanted = models.JSONField(default=dict)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "actor", "key"], name="one_bulk_request_per_key")
        ]

    def __str__(self) -> str:
        return f"{self.verb} by {self.actor}"


class BulkOutcome(models.Model):
    bulk = models.ForeignKey(BulkRequest, on_delete=models.CASCADE, related_name="outcomes")
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="bulk_outcomes")
    position = models.PositiveSmallIntegerField()
    state = models.CharField(
        max_length=12, choices=[(s, s) for s in states.BULK_STATES], default=states.BULK_WAITING
    )
    operation_id = models.UUIDField(null=True)
    #: Why it was refused.
    detail = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bulk", "tenant"], name="tenant_once_per_bulk_request")
        ]

    def __str__(self) -> str:
        return f"{self.bulk_id} for {self.tenant_id}: {self.state}"


class HealthChange(models.Model):
    """What was shown of a tenant's health, or of one component's, from `at` on. Kept for 90 days."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="health_changes")
    #: Empty: the tenant as a whole.
    component = models.CharField(max_length=20, blank=True, db_default="", default="")
    at = models.DateTimeField()
    health = models.CharField(max_length=20)
    detail = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["at", "pk"]
        indexes = [models.Index(fields=["tenant", "component", "-at"], name="health_change_of_component")]

    def __str__(self) -> str:
        return f"{self.tenant_id} {self.health} from {self.at}"
