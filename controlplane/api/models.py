"""What the API itself remembers: answers to requests that carried an Idempotency-Key."""

from django.db import models

from controlplane.core.ids import uuid7


class IdempotencyRecord(models.Model):
    """One key of one actor. The stored answer may show a key once, so it is encrypted."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    actor = models.CharField(max_length=200)
    key = models.CharField(max_length=255)
    request_hash = models.CharField(max_length=64)
    #: null while the first request is still running
    status = models.PositiveSmallIntegerField(null=True)
    sealed_answer = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team_id", "actor", "key"], name="idempotency_key_once")
        ]
        indexes = [models.Index(fields=["created_at"], name="idempotency_created")]

    def __str__(self) -> str:
        return f"{self.key} of {self.actor}"
