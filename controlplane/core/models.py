"""The audit chain: each row carries the hash of the one before it, so an edit, a deletion or a reordering shows."""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from controlplane.core.ids import uuid7


class AuditHead(models.Model):
    """One row: the number and hash of the newest audit event."""

    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="0" * 64)

    def __str__(self) -> str:
        return f"audit head {self.sequence}"


class AuditEvent(models.Model):
    """Who did what to what, when, and what changed. Append-only."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    sequence = models.BigIntegerField(unique=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=200)
    action = models.CharField(max_length=80)
    team_id = models.UUIDField(null=True)
    subject_type = models.CharField(max_length=40)
    subject_id = models.CharField(max_length=80)
    data = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-sequence"]
        indexes = [
            models.Index(fields=["team_id", "-sequence"], name="audit_team_sequence"),
            models.Index(fields=["subject_type", "subject_id", "-sequence"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} by {self.actor}"
