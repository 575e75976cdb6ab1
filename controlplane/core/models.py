"""The audit chain and the data keys; the outbox keeps its own tables.

In the chain each row carries the hash of the one before it, so an edit, a deletion or a reordering shows.
"""

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from controlplane.core.ids import uuid7
from controlplane.core.outbound.models import OutboundAttachment, OutboundEndpoint, OutboundMessage

__all__ = [
    "AuditEvent",
    "AuditHead",
    "DataKey",
    "OutboundAttachment",
    "OutboundEndpoint",
    "OutboundMessage",
]


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


class DataKey(models.Model):
    """A key that seals one owner's values; itself sealed by an operator key. The newest one seals, all open.

    A destroyed key keeps its row, without the key: what was sealed under it is said to be gone, not broken.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    #: A tenant's id, or data_keys.INSTALLATION.
    owner = models.UUIDField()
    version = models.PositiveIntegerField()
    wrapped = models.TextField()
    #: OperatorKey.id of the key that seals it.
    operator_key = models.CharField(max_length=16)
    created_at = models.DateTimeField(db_default=Now())
    destroyed_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "version"], name="data_key_version_once")]

    def __str__(self) -> str:
        return f"data key {self.id} (version {self.version} of {self.owner})"
