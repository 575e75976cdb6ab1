"""Rate limits: counted per key in Redis, told on every answer, and never the reason that the API is down."""

from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.test import AsyncClient, Client
from structlog.testing import capture_logs

from controlplane.api import limits
from controlplane.api.limits import Counter
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from embedded.ports import free_port
from tests.controlplane.api.test_events import make
from tests.controlplane.api.test_usage import BATCH, event, send
from tests.support.people import ApiClient, Person

Acme = tuple[Tenant, Operation]


def standing(answer: Any) -> tuple[int, int]:
    assert 1 <= int(answer.headers["RateLimit-Reset"]) <= 60
    return int(answer.headers["RateLimit-Limit"]), int(answer.headers["RateLimit-Remaining"])


@pytest.fixture
def still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One moment for all requests, so that no minute ends between them."""
    from controlplane.core import clock

    moment = clock.now().replace(second=20, microsecond=0)
    monkeypatch.setattr(clock, "now", lambda: moment)


pytestmark = pytest.mark.usefixtures("still_clock")


def test_answers_tell_the_standing(owner: Person, settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 10
    assert standing(owner.api().get("/tenants")) == (10, 9)
    assert standing(owner.api().get("/tenants/nobody")) == (10, 8)
    assert standing(owner.api().post("/tenants", "{bad")) == (10, 7)
    assert standing(owner.api()("PUT", "/tenants", {})) == (10, 6)
    assert "RateLimit-Limit" not in ApiClient(None).get("/tenants").headers


def test_over_the_limit_nothing_is_done(acme: Acme, owner: Person, stranger: Person, settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 2
    assert [owner.api().get("/tenants").status_code for _ in range(2)] == [200, 200]
    refused = owner.api()("DELETE", "/tenants/acme")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Retry-After"] == refused.headers["RateLimit-Reset"] == "40"
    assert standing(refused) == (2, 0)
    assert Operation.objects.count() == 1
    assert stranger.api().get("/tenants").status_code == 200


def test_a_person_signed_in_has_a_count_of_their_own(owner: Person, settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 1
    client = Client()
    client.force_login(owner.user)
    assert [client.get("/api/v1/tenants").status_code for _ in range(2)] == [200, 429]
    assert owner.api().get("/tenants").status_code == 200


def test_usage_events_are_counted_apart_and_may_come_faster(acme: Acme, owner: Person, settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 1
    assert standing(send(owner.api(), [event("1")], BATCH)) == (5, 4)
    assert owner.api().get("/tenants").status_code == 200


def test_zero_is_no_limit(owner: Person, settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 0
    answer = owner.api().get("/tenants")
    assert (answer.status_code, "RateLimit-Limit" in answer.headers) == (200, False)


def test_without_redis_requests_are_answered_and_it_is_logged_once(
    owner: Person, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.REDIS_URL = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setattr(limits, "counter", Counter())
    with capture_logs() as logs:
        answers = [owner.api().get("/tenants") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "RateLimit-Limit" not in answers[0].headers
    # After the first failure Redis is left alone for a while, so that no request waits for it.
    assert [line["event"] for line in logs].count("limits.redis_unavailable") == 1


@pytest.mark.django_db(transaction=True)
async def test_the_event_stream_counts_too(settings: Any) -> None:
    settings.FREEHOLD_RATE_LIMIT_PER_MINUTE = 1
    person, operation = await sync_to_async(make)()
    headers = {"authorization": f"Bearer {person.key}", "accept": "application/json"}
    path = f"/api/v1/operations/{operation.id}/events"
    answers: list[Any] = [await AsyncClient().get(path, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert answers[1].headers["Content-Type"] == "application/problem+json"
    assert (answers[1].headers["Retry-After"], standing(answers[1])) == ("40", (1, 0))
