"""Sending what the outbox holds: e-mail by Django's mail backend, webhooks as signed POSTs (Standard Webhooks)."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final

import httpx
import structlog
from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.mail import EmailMessage
from standardwebhooks.webhooks import Webhook

from contracts.destinations import AddressRefused, Resolve, destination_of, system_resolve
from controlplane.core.errors import FreeholdError
from controlplane.core.outbound.models import EMAIL, OutboundMessage
from controlplane.core.outbound.services import (
    email_goes_out,
    endpoint_secret,
    message_delivered,
    message_failed,
    message_text,
    messages_claim,
    outbound_policy,
)

log = structlog.get_logger()

#: Seconds for one POST, from resolving the name to the last header of the answer.
POST_S: Final = 15.0


class DeliveryFailed(Exception):
    """`final`: repeating it cannot help."""

    def __init__(self, detail: str, *, final: bool = False) -> None:
        super().__init__(detail)
        self.final = final


def outbox_deliver(
    *,
    clock_now: Callable[[], datetime],
    roll: Callable[[], float],
    limit: int = 50,
    resolve: Resolve = system_resolve,
) -> int:
    """Sends messages that are due, at most `limit`; how many arrived. A message that fails holds up no other."""
    arrived = 0
    for message in messages_claim(now=clock_now(), limit=limit):
        try:
            if message.channel == EMAIL:
                email_send(message)
            else:
                webhook_send(message, now=clock_now(), resolve=resolve)
        except DeliveryFailed as error:
            message_failed(message=message, at=clock_now(), error=str(error), roll=roll(), final=error.final)
            log.warning("outbound.failed", key=message.key, attempt=message.attempts, error=str(error))
        else:
            arrived += message_delivered(message=message, at=clock_now())
    return arrived


def email_send(message: OutboundMessage) -> None:
    """Raises DeliveryFailed."""
    if not email_goes_out():
        raise DeliveryFailed("No mail server is set: FREEHOLD_EMAIL_URL.")
    try:
        text = message_text(message)
    except FreeholdError as error:
        raise DeliveryFailed(error.detail) from error
    email = EmailMessage(
        subject=message.subject,
        body=text,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=list(message.recipients),
        headers={"Message-ID": f"<{message.pk}@freehold>", "Auto-Submitted": "auto-generated"},
    )
    for each in message.attachments.all():
        email.attach(each.name, bytes(each.content), each.content_type)
    try:
        email.send()
    except (OSError, ValueError) as error:  # smtplib's errors are OSErrors
        raise DeliveryFailed(f"The mail server did not take it: {type(error).__name__}.") from error


def webhook_send(message: OutboundMessage, *, now: datetime, resolve: Resolve = system_resolve) -> None:
    """Raises DeliveryFailed for anything but an answer of 2xx. Redirects are not followed: they would lead past the
    check of the address."""
    endpoint = message.endpoint
    if endpoint is None:
        raise DeliveryFailed("Its endpoint was removed.", final=True)
    try:
        secret = endpoint_secret(endpoint)
    except FreeholdError as error:
        raise DeliveryFailed(error.detail) from error
    try:
        destination = destination_of(endpoint.url, policy=outbound_policy(), resolve=resolve)
    except AddressRefused as error:
        raise DeliveryFailed(f"The URL {error}.") from error
    identity = f"msg_{message.pk.hex}"
    headers = {
        "Host": destination.host_header,
        "Content-Type": "application/json",
        "User-Agent": "Freehold-Webhooks/1",
        "webhook-id": identity,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(identity, now, message.body),
    }
    try:
        status = async_to_sync(_post)(
            destination.url, host=destination.host, headers=headers, content=message.body.encode()
        )
    except TimeoutError as error:
        raise DeliveryFailed(f"{destination.host} gave no answer within {POST_S:g} s.") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise DeliveryFailed(f"{destination.host} could not be posted to: {type(error).__name__}.") from error
    if not 200 <= status < 300:
        # 410 Gone is how a receiver says that it wants no more (Standard Webhooks).
        raise DeliveryFailed(f"{destination.host} answered {status}.", final=status == 410)


async def _post(url: str, *, host: str, headers: dict[str, str], content: bytes) -> int:
    """The answer's status; its body is not read. The certificate must be for `host`, whatever is connected to."""
    async with asyncio.timeout(POST_S), httpx.AsyncClient(trust_env=False, timeout=POST_S) as client:
        request = client.build_request(
            "POST", url, headers=headers, content=content, extensions={"sni_hostname": host}
        )
        response = await client.send(request, stream=True, follow_redirects=False)
        await response.aclose()
        return response.status_code
