"""The outbox: queued once, signed as Standard Webhooks wants, tried again within bounds, never to the wrong place."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from standardwebhooks.webhooks import Webhook

from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.core.models import OutboundEndpoint, OutboundMessage
from controlplane.core.outbound.delivery import outbox_deliver
from controlplane.core.outbound.retries import MOST_ATTEMPTS, PAUSES, pause_after
from controlplane.core.outbound.services import (
    CLAIM,
    Attachment,
    email_queue,
    endpoint_create,
    endpoint_remove,
    messages_claim,
    webhook_queue,
)

pytestmark = pytest.mark.django_db
TEAM = uuid4()
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


@dataclass
class Receiver:
    """Somebody's webhook endpoint."""

    url: str = ""
    answer: int = 204
    location: str = ""
    posts: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(found.answer)
            if found.location:
                self.send_header("Location", found.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://hooks.example.com:{server.server_address[1]}/in"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def development(settings: Any) -> None:
    settings.FREEHOLD_WEBHOOK_HTTP = settings.FREEHOLD_WEBHOOK_PRIVATE = True


def _endpoint(url: str) -> tuple[OutboundEndpoint, str]:
    return endpoint_create(team_id=TEAM, url=url, secret_bytes=bytes(range(32)), at=NOW)


def _queued(endpoint: OutboundEndpoint, key: str = "k") -> OutboundMessage:
    data = {"amount": "12.50", "name": "Übung"}
    return webhook_queue(
        team_id=TEAM, key=key, endpoint_id=endpoint.pk, type="budget.reached", data=data, at=NOW
    )


def _deliver(at: datetime = NOW, address: str = "127.0.0.1") -> int:
    return outbox_deliver(clock_now=lambda: at, roll=lambda: 0.0, resolve=lambda *_: [address])


def test_a_webhook_is_signed_so_that_the_standard_library_of_receivers_verifies_it(
    receiver: Receiver, development: None
) -> None:
    endpoint, secret = _endpoint(receiver.url)
    assert secret.startswith("whsec_")
    assert secret not in OutboundEndpoint.objects.values_list("sealed_secret", flat=True)
    message = _queued(endpoint)
    now = clock.now()  # the verifier looks at the clock itself
    assert _deliver(now) == 1
    ((headers, body),) = receiver.posts
    verified = Webhook(secret).verify(body, headers)
    assert verified == {
        "type": "budget.reached",
        "timestamp": "2026-11-21T10:00:00Z",
        "data": {"amount": "12.50", "name": "Übung"},
    }
    assert headers["webhook-id"] == f"msg_{message.pk.hex}"
    assert headers["host"].startswith("hooks.example.com:"), "what was connected to is not what was asked for"
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("delivered", 1)
    assert _deliver(now + timedelta(days=1)) == 0, "once"
    assert len(receiver.posts) == 1


def test_a_key_is_queued_once(receiver: Receiver, development: None) -> None:
    endpoint, _ = _endpoint(receiver.url)
    assert _queued(endpoint).pk == _queued(endpoint).pk
    assert _deliver() == 1


def test_failures_are_tried_again_within_bounds_under_the_same_id(
    receiver: Receiver, development: None
) -> None:
    receiver.answer = 500
    endpoint, _ = _endpoint(receiver.url)
    message = _queued(endpoint)
    at = NOW
    for pause in PAUSES:
        assert _deliver(at) == 0
        message.refresh_from_db()
        assert (message.state, message.last_error) == ("pending", "hooks.example.com answered 500.")
        assert message.next_attempt_at == at + pause
        assert _deliver(at + pause - timedelta(seconds=1)) == 0, "not before its time"
        at += pause
    assert _deliver(at) == 0
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("failed", MOST_ATTEMPTS)
    _deliver(at + timedelta(days=9))
    assert len(receiver.posts) == MOST_ATTEMPTS
    assert len({headers["webhook-id"] for headers, _ in receiver.posts}) == 1


def test_one_that_fails_holds_up_no_other(receiver: Receiver, development: None) -> None:
    gone, _ = _endpoint("http://hooks.example.com:1/in")
    good, _ = _endpoint(receiver.url)
    _queued(gone, "first")
    _queued(good, "second")
    assert _deliver() == 1


def test_gone_and_removed_endpoints_end_at_once(receiver: Receiver, development: None) -> None:
    receiver.answer = 410
    endpoint, _ = _endpoint(receiver.url)
    refused = _queued(endpoint, "refused")
    _deliver()
    refused.refresh_from_db()
    assert refused.state == "failed"
    orphan = _queued(endpoint, "orphan")
    endpoint_remove(endpoint_id=endpoint.pk)
    _deliver()
    orphan.refresh_from_db()
    assert (orphan.state, orphan.last_error) == ("failed", "Its endpoint was removed.")
    assert len(receiver.posts) == 1


def test_redirects_are_not_followed(receiver: Receiver, development: None) -> None:
    receiver.answer, receiver.location = 302, "http://127.0.0.1:1/inside"
    endpoint, _ = _endpoint(receiver.url)
    message = _queued(endpoint)
    assert _deliver() == 0
    message.refresh_from_db()
    assert message.last_error == "hooks.example.com answered 302."


def test_nothing_is_posted_inside_unless_the_installation_allows_it(
    receiver: Receiver, development: None, settings: Any
) -> None:
    endpoint, _ = _endpoint(receiver.url)
    message = _queued(endpoint)
    settings.FREEHOLD_WEBHOOK_PRIVATE = False
    assert _deliver() == 0
    message.refresh_from_db()
    assert (message.state, receiver.posts) == ("pending", [])
    assert "not a public address" in message.last_error
    settings.FREEHOLD_WEBHOOK_HTTP = False
    with pytest.raises(ValidationFailed):
        _endpoint(receiver.url)


def test_email_carries_its_files(settings: Any) -> None:
    settings.DEFAULT_FROM_EMAIL = "freehold@example.com"
    file = Attachment("usage.pdf", "application/pdf", b"%PDF-1")
    email_queue(
        team_id=TEAM, key="e", recipients=["a@example.com", "b@example.com"], subject="Two\r\nlines",
        text="Hello", attachments=[file], at=NOW,
    )  # fmt: skip
    assert _deliver() == 1
    (sent,) = mail.outbox
    assert (sent.subject, sent.body, sent.to) == ("Two lines", "Hello", ["a@example.com", "b@example.com"])
    assert sent.attachments == [("usage.pdf", b"%PDF-1", "application/pdf")]


def test_without_a_mail_server_the_failure_is_seen(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"
    message = email_queue(team_id=TEAM, key="e", recipients=["a@example.com"], subject="s", text="t", at=NOW)
    assert _deliver() == 0
    message.refresh_from_db()
    assert (message.state, message.last_error) == ("pending", "No mail server is set: FREEHOLD_EMAIL_URL.")


def test_a_message_whose_sender_dies_is_sent_again_and_ends_in_the_end() -> None:
    email_queue(team_id=TEAM, key="e", recipients=["a@example.com"], subject="s", text="t", at=NOW)
    at = NOW
    for attempt in range(1, MOST_ATTEMPTS + 1):
        (claimed,) = messages_claim(now=at, limit=9)
        assert claimed.attempts == attempt
        assert messages_claim(now=at, limit=9) == [], "it belongs to who claimed it"
        at += CLAIM
    assert messages_claim(now=at, limit=9) == []
    assert OutboundMessage.objects.get().state == "failed"


def test_pauses_grow_and_are_spread() -> None:
    assert [pause_after(n, roll=0.0) for n in range(1, MOST_ATTEMPTS)] == list(PAUSES)
    assert pause_after(1, roll=1.0) == PAUSES[0] * 1.2
    assert pause_after(MOST_ATTEMPTS, roll=0.5) is None
    assert json.dumps(sorted(PAUSES), default=str) == json.dumps(PAUSES, default=str)
