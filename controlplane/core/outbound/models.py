"""Tables of the outbox: where messages go, the messages, what is attached to them."""

from django.db import models

from controlplane.core.ids import uuid7

EMAIL = "email"
WEBHOOK = "webhook"

PENDING = "pending"
DELIVERED = "delivered"
#: Given up; `last_error` says why.
FAILED = "failed"


class OutboundEndpoint(models.Model):
    """A URL that takes signed POSTs, with the secret that signs them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    url = models.CharField(max_length=2000)
    sealed_secret = models.TextField()
    created_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.url


class OutboundMessage(models.Model):
    """One message to one endpoint or some addresses. `key` says what it is about, so it is queued once.

    Pending until `attempts` are used up; a claimed one has its `next_attempt_at` moved ahead, so that a message
    whose sender died is sent again. Its id goes along (webhook-id, Message-ID): a receiver can tell a repeat.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    team_id = models.UUIDField()
    key = models.CharField(max_length=200, unique=True)
    channel = models.CharField(max_length=10, choices=[(EMAIL, EMAIL), (WEBHOOK, WEBHOOK)])
    #: Of a webhook; null once its endpoint was removed.
    endpoint = models.ForeignKey(
        OutboundEndpoint, null=True, on_delete=models.SET_NULL, related_name="messages"
    )
    #: Of an e-mail.
    recipients = models.JSONField(default=list)
    subject = models.CharField(max_length=300, blank=True)
    text = models.TextField(blank=True)
    #: Instead of `text`, of an e-mail with a secret (a link that lets in); emptied when it was sent or given up.
    sealed_text = models.TextField(blank=True, default="", db_default="")
    #: Of a webhook: the exact bytes that are signed and sent, as text.
    body = models.TextField(blank=True)
    state = models.CharField(
        max_length=10, choices=[(s, s) for s in (PENDING, DELIVERED, FAILED)], default=PENDING
    )
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=models.Q(state=PENDING), name="outbound_message_due"
            )
        ]

    def __str__(self) -> str:
        return f"{self.channel} {self.key} ({self.state})"


class OutboundAttachment(models.Model):
    """A file of an e-mail, as it was when the message was written."""

    message = models.ForeignKey(OutboundMessage, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    content = models.BinaryField()

    def __str__(self) -> str:
        return self.name
