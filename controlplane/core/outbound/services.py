"""Writing into the outbox, and what becomes of its messages. Every move is a guarded update."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import F

from contracts.destinations import Policy
from controlplane.core.clock import moment_text
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.ids import uuid7
from controlplane.core.outbound.addresses import url_check
from controlplane.core.outbound.models import (
    DELIVERED,
    EMAIL,
    FAILED,
    PENDING,
    WEBHOOK,
    OutboundAttachment,
    OutboundEndpoint,
    OutboundMessage,
)
from controlplane.core.outbound.retries import MOST_ATTEMPTS, pause_after

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the visible beginning of every secret
_CONSOLE: Final = "django.core.mail.backends.console.EmailBackend"
#: So long a claimed message belongs to who claimed it; longer than a delivery may take.
CLAIM: Final = timedelta(minutes=2)


@dataclass(frozen=True)
class Attachment:
    name: str
    content_type: str
    content: bytes


def outbound_policy() -> Policy:
    return Policy(http=settings.FREEHOLD_WEBHOOK_HTTP, private=settings.FREEHOLD_WEBHOOK_PRIVATE)


def webhook_url_check(url: str) -> None:
    """Raises ValidationFailed naming `webhook_url` for one that may not be posted to."""
    url_check(url, policy=outbound_policy(), field="webhook_url")


@transaction.atomic
def endpoint_create(
    *, team_id: UUID, url: str, secret_bytes: bytes, at: datetime, field: str = "webhook_url"
) -> tuple[OutboundEndpoint, str]:
    """The endpoint and its secret, which is shown once. `secret_bytes` are random, 24 to 64 of them (Standard
    Webhooks). Raises ValidationFailed naming `field` for a URL that may not be posted to."""
    from base64 import b64encode

    url_check(url, policy=outbound_policy(), field=field)
    secret = SECRET_PREFIX + b64encode(secret_bytes).decode()
    endpoint = OutboundEndpoint(team_id=team_id, url=url, created_at=at)
    endpoint.sealed_secret = encrypt(secret, context=_context(endpoint))
    endpoint.save(force_insert=True)
    return endpoint, secret


def endpoint_remove(*, endpoint_id: UUID) -> None:
    """Messages that still wait for it will fail, and say so."""
    OutboundEndpoint.objects.filter(pk=endpoint_id).delete()


def endpoint_secret(endpoint: OutboundEndpoint) -> str:
    return str(decrypt(endpoint.sealed_secret, context=_context(endpoint)))


def email_queue(
    *,
    team_id: UUID,
    key: str,
    recipients: Sequence[str],
    subject: str,
    text: str,
    at: datetime,
    attachments: Sequence[Attachment] = (),
    secret: bool = False,
) -> OutboundMessage:
    """Queues one e-mail to all recipients; a message of that key that is there already stays as it is. A `secret` one
    is readable to nobody who reads the table, and gone from it once it was sent."""
    identity = uuid7()
    sealed = encrypt(text, context=_text_context(identity)) if secret else ""
    return _queue(
        key,
        {
            "id": identity,
            "team_id": team_id,
            "channel": EMAIL,
            "recipients": list(recipients),
            "subject": " ".join(subject.split())[:300],
            "text": "" if secret else text,
            "sealed_text": sealed,
            "next_attempt_at": at,
            "created_at": at,
        },
        attachments,
    )


def webhook_queue(
    *, team_id: UUID, key: str, endpoint_id: UUID, type: str, data: Mapping[str, Any], at: datetime
) -> OutboundMessage:
    """Queues one signed POST of `{type, timestamp, data}` (Standard Webhooks); once for each key."""
    body = json.dumps({"type": type, "timestamp": moment_text(at), "data": data}, cls=DjangoJSONEncoder)
    return _queue(
        key,
        {
            "team_id": team_id,
            "channel": WEBHOOK,
            "endpoint_id": endpoint_id,
            "subject": type,
            "body": body,
            "next_attempt_at": at,
            "created_at": at,
        },
        (),
    )


@transaction.atomic
def _queue(key: str, fields: Mapping[str, Any], attachments: Sequence[Attachment]) -> OutboundMessage:
    message, created = OutboundMessage.objects.get_or_create(key=key, defaults=fields)
    if created:
        OutboundAttachment.objects.bulk_create(
            OutboundAttachment(
                message=message, name=each.name, content_type=each.content_type, content=each.content
            )
            for each in attachments
        )
    return message


def messages_claim(*, now: datetime, limit: int) -> list[OutboundMessage]:
    """Messages that are due, now ours for CLAIM. Each counts as an attempt before it is made: one whose sender dies
    every time ends too."""
    claimed = []
    due = OutboundMessage.objects.filter(state=PENDING, next_attempt_at__lte=now).order_by("next_attempt_at")
    for message in due.select_related("endpoint")[:limit]:
        moved = OutboundMessage.objects.filter(
            pk=message.pk, state=PENDING, attempts=message.attempts, next_attempt_at=message.next_attempt_at
        ).update(attempts=F("attempts") + 1, next_attempt_at=now + CLAIM)
        if moved != 1:
            continue
        message.attempts += 1
        if message.attempts > MOST_ATTEMPTS:
            _end(message, now, state=FAILED, last_error="Whoever sent it died each time.")
        else:
            claimed.append(message)
    return claimed


def message_delivered(*, message: OutboundMessage, at: datetime) -> bool:
    return _end(message, at, state=DELIVERED, last_error="")


def message_failed(
    *, message: OutboundMessage, at: datetime, error: str, roll: float, final: bool = False
) -> bool:
    """To be tried again later, or given up: after the last attempt, and at once where `final` says that repeating it
    cannot help."""
    pause = None if final else pause_after(message.attempts, roll=roll)
    if pause is None:
        return _end(message, at, state=FAILED, last_error=error[:500])
    moved = OutboundMessage.objects.filter(pk=message.pk, state=PENDING, attempts=message.attempts).update(
        next_attempt_at=at + pause, last_error=error[:500]
    )
    return moved == 1


def _end(message: OutboundMessage, at: datetime, *, state: str, last_error: str) -> bool:
    moved = OutboundMessage.objects.filter(pk=message.pk, state=PENDING, attempts=message.attempts).update(
        state=state, ended_at=at, last_error=last_error, sealed_text=""
    )
    return moved == 1


def message_text(message: OutboundMessage) -> str:
    """What an e-mail says. Raises OperatorError where it is sealed and its key is gone."""
    if not message.sealed_text:
        return message.text
    return str(decrypt(message.sealed_text, context=_text_context(message.pk)))


def email_goes_out() -> bool:
    """Whether a mail server is set. Without one, messages wait a day and are given up."""
    return settings.EMAIL_BACKEND != _CONSOLE


def _text_context(identity: UUID) -> str:
    return f"outbound-text:{identity}"


def _context(endpoint: OutboundEndpoint) -> str:
    return f"outbound-endpoint:{endpoint.pk}"
