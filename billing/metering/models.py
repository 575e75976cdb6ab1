"""Tables of metering. The first migration makes the partitioned one and the exclusion by SQL."""

from django.contrib.postgres.fields import DateTimeRangeField
from django.db import models

from controlplane.core.ids import uuid7


class UsageEventKey(models.Model):
    """Every event id ever counted, for ever. Narrow, since each ingest probes it.

    `body_hash` is the SHA-256 of the canonical JSON; `received_at` and `time` lead to the chunk of the raw
    event.
    """

    pk = models.CompositePrimaryKey("tenant_id", "source", "event_id")
    tenant_id = models.UUIDField()
    source = models.TextField()
    event_id = models.TextField()
    body_hash = models.BinaryField()
    received_at = models.DateTimeField()
    time = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class UsageEventChunk(models.Model):
    """Raw events of one type and hour that were received together (chunks.py); `body` is compressed. Never changed.

    Partitioned by the month of `received_at`. The database holds no primary key here, only the index over tenant,
    type and hour: UsageEventKey makes each event unique, in the same transaction.
    """

    pk = models.CompositePrimaryKey("tenant_id", "type", "hour", "received_at")
    tenant_id = models.UUIDField()
    type = models.TextField()
    hour = models.DateTimeField()
    received_at = models.DateTimeField()
    events = models.IntegerField()
    body = models.BinaryField()

    class Meta:
        indexes = [models.Index(fields=["tenant_id", "type", "hour"], name="usage_chunk_hour")]

    def __str__(self) -> str:
        return f"{self.events} {self.type} {self.hour:%Y-%m-%d %H:00}"


class UsageRollup(models.Model):
    """What the events of a quarter of an hour add up to, per meter and dimensions.

    A quarter, because every time zone in use is a multiple of it from UTC: local days (India, Nepal) stay
    exact. The maximum of meters that take one. The rows of `meter` "KEY:user" tell users apart, too, and are by
    the hour.
    """

    tenant_id = models.UUIDField()
    meter = models.TextField()
    bucket = models.DateTimeField()
    dimensions = models.JSONField()
    value = models.DecimalField(max_digits=50, decimal_places=12)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "meter", "bucket", "dimensions"], name="usage_rollup_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.meter} {self.bucket:%Y-%m-%d %H:%M} {self.value}"


class UsageMember(models.Model):
    """A value seen in an hour by a meter that counts distinct ones, and how many events say so."""

    pk = models.CompositePrimaryKey("tenant_id", "meter", "bucket", "dimensions", "member")
    tenant_id = models.UUIDField()
    meter = models.TextField()
    bucket = models.DateTimeField()
    dimensions = models.TextField()
    member = models.TextField()
    events = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.meter} {self.bucket:%Y-%m-%d %H:%M} {self.member}"


class UsageCorrection(models.Model):
    """An event taken back (`void`) or replaced (`amend`) after it was counted; never changed, never removed.

    `time` is the amended event's (null for a void), `replaced_time` that of the body it takes the place of;
    `recorded_at` is when we learned it. `revision` counts the corrections of one event from 1.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    tenant_id = models.UUIDField()
    source = models.TextField()
    event_id = models.TextField()
    revision = models.IntegerField()
    action = models.TextField(choices=[("void", "void"), ("amend", "amend")])
    type = models.TextField()
    time = models.DateTimeField(null=True)
    replaced_time = models.DateTimeField()
    body = models.JSONField(null=True)
    received_at = models.DateTimeField()
    reason = models.TextField()
    actor = models.TextField()
    recorded_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["tenant_id", "source", "event_id", "revision"], name="usage_correction_once"
            )
        ]
        indexes = [
            models.Index(fields=["tenant_id", "time"], name="usage_correction_time"),
            models.Index(fields=["tenant_id", "recorded_at"], name="usage_correction_recorded"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.source} {self.event_id}"


class GaugeSample(models.Model):
    """A gauge's value at a moment; it holds until the next sample of the same component.

    `received_at` and `voided_at` are when we learned of it and took it back; without the first it was known always.
    """

    tenant_id = models.UUIDField()
    meter = models.TextField()
    component = models.TextField()
    time = models.DateTimeField()
    source = models.TextField()
    event_id = models.TextField()
    value = models.DecimalField(max_digits=50, decimal_places=12)
    received_at = models.DateTimeField(null=True)
    voided_at = models.DateTimeField(null=True)

    class Meta:
        # Not unique over source and event_id too: the keys' table sees to that, and three long texts would
        # outgrow an index row.
        indexes = [models.Index(fields=["tenant_id", "meter", "component", "time"], name="gauge_sample_time")]

    def __str__(self) -> str:
        return f"{self.meter} {self.component} {self.value}"


class SpanSlot(models.Model):
    """Gives each (tenant, meter, slot) a number of its own.

    GiST without btree_gist excludes ranges, not UUIDs or texts; a number becomes the range that holds only
    it. A number handed out by the database cannot collide, as a hash of the three could.
    """

    tenant_id = models.UUIDField()
    meter = models.TextField()
    slot = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant_id", "meter", "slot"], name="span_slot_once")]

    def __str__(self) -> str:
        return f"{self.meter} {self.slot}"


class ResourceSpan(models.Model):
    """A resource existed during `span` (its end open while it exists). Spans of one slot never overlap.

    `opened_by` and `closed_by` are the operations that created and removed it, `opened_recorded_at` and
    `closed_recorded_at` when they said so. A span closed at the moment it
    opened is the empty range and counts for nothing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    span_slot = models.ForeignKey(SpanSlot, on_delete=models.PROTECT, related_name="spans")
    resource = models.TextField()
    dimensions = models.JSONField(default=dict)
    span = DateTimeRangeField()
    opened_by = models.UUIDField()
    closed_by = models.UUIDField(null=True)
    opened_recorded_at = models.DateTimeField(null=True)
    closed_recorded_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.resource} {self.span}"
