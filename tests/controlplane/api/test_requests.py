"""What holds for every request: its id comes back, and bodies of any size and shape end in a fitting answer."""

import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person, person_make

Acme = tuple[Tenant, Operation]
GOOD = {"slug": "globex", "name": "Globex", "plan": "starter", "target": "local"}
KEY = {"idempotency-key": "k-1"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/tenants", 200),
        ("GET", "/tenants/nobody", 404),
        ("GET", "/no/such/path", 404),
        ("POST", "/no/such/path", 404),
        ("DELETE", "/api-keys/not-a-uuid", 404),
        ("GET", "/tenants?limit=x", 422),
        ("PUT", "/tenants", 405),
        ("POST", "/operations/01890000-0000-7000-8000-000000000000/events", 405),
        ("GET", "/operations/01890000-0000-7000-8000-000000000000/events", 404),
    ],
)
def test_the_request_id_comes_back(owner: Person, method: str, path: str, status: int) -> None:
    answer = owner.api()(method, path, headers={"x-request-id": "trace-1"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (status, "trace-1")
    if status >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["request_id"] == "trace-1"


@pytest.mark.parametrize(
    "path",
    [
        "/tenants",
        "/tenants/acme",
        "/tenants/acme/usage-report?format=csv",
        "/tenants/nobody",
        "/audit-events",
    ],
)
def test_no_cache_keeps_an_answer(owner: Person, acme: Acme, path: str) -> None:
    """The portal's downloads are answers of the API to a session: they are gone with it."""
    assert owner.api().get(path).headers["Cache-Control"] == "no-store"


def test_an_anonymous_caller_gets_the_request_id_too(db: None) -> None:
    answer = ApiClient(None).get("/tenants", headers={"x-request-id": "trace-1"})
    assert (answer.status_code, answer.headers["X-Request-Id"]) == (401, "trace-1")


@pytest.mark.parametrize("offered", ["", "a b", "x" * 129, "a\nb: c"])
def test_a_request_id_that_could_shape_logs_is_replaced(owner: Person, offered: str) -> None:
    given = owner.api().get("/tenants", headers={"x-request-id": offered}).headers["X-Request-Id"]
    assert given
    assert given != offered


def test_a_huge_body_is_refused_and_its_key_stays_free(owner: Person) -> None:
    huge = {**GOOD, "reason": "x" * (5 * 1024 * 1024)}
    refused = owner.api().post("/tenants", huge, headers=KEY)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
    assert Tenant.objects.count() == 0
    assert owner.api().post("/tenants", GOOD, headers=KEY).status_code == 202


def test_a_large_body_below_the_limit_is_judged_by_its_fields(owner: Person) -> None:
    large = {**GOOD, "reason": "x" * (3 * 1024 * 1024)}
    assert owner.api().post("/tenants", large, headers=KEY).status_code == 422
    assert owner.api().post("/tenants", GOOD, headers=KEY).status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[" * 100_000, 400),
        ('{"overrides":' * 50_000, 400),
        (json.dumps({**GOOD, "name": "\ud800"}), 422),
        (json.dumps({**GOOD, "labels": {"\udfff": "x"}}), 422),
        ('{"slug": 1' + "0" * 5000 + "}", 400),
        ('{"slug": NaN}', 400),
        (b"\xff\xfe", 400),
    ],
)
@pytest.mark.parametrize("headers", [{}, KEY])
def test_strange_json(owner: Person, body: str | bytes, status: int, headers: dict[str, str]) -> None:
    answer = owner.api()("POST", "/tenants", body, headers=headers)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert Tenant.objects.count() == 0


@pytest.mark.parametrize(
    ("body", "status"), [("[" * 100_000, 400), ('{"skip_final_snapshot": "perhaps"}', 422)]
)
def test_a_deletion_whose_body_cannot_be_read_is_not_begun(
    acme: Acme, owner: Person, body: str, status: int
) -> None:
    """It could hold a wish about the final snapshot."""
    assert owner.api()("DELETE", "/tenants/acme", body, headers=KEY).status_code == status
    assert not Operation.objects.filter(kind="deprovision").exists()
    assert owner.api()("DELETE", "/tenants/acme").status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/tenants?limit=²",
        "/tenants?limit=" + "9" * 5000,
        "/audit-events?before=²",
        "/audit-events?before=" + "9" * 30,
        "/operations/{operation}/events?cursor=²",
        "/tenants/acme/usage?meter=input_tokens&from=0001-01-01T00:00:00%2B14:00&to=0001-01-02T00:00:00Z",
        "/tenants/acme/usage?meter=input_tokens&from=9999-12-31T23:59:59-14:00",
    ],
)
def test_numbers_and_times_that_are_none(acme: Acme, owner: Person, path: str) -> None:
    answer = owner.api().get(path.format(operation=acme[1].id), headers={"accept": "application/json"})
    assert answer.status_code == 422


def test_an_operations_address_must_hold_a_uuid(owner: Person) -> None:
    assert owner.api().post(f"/operations/{'-' * 36}/cancel").status_code == 404


def test_head_needs_the_scope_of_get(acme: Acme, owner: Person) -> None:
    _, token = api_key_create(
        team_id=owner.team.id, name="usage", scopes=["usage:write"], actor="test", now=clock.now()
    )
    for path in ("/tenants/acme", "/audit-events"):
        assert ApiClient(token)("HEAD", path).status_code == 403
        assert owner.api()("HEAD", path).status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_a_chunked_body_is_read_whole() -> None:
    from asgiref.sync import sync_to_async

    from controlplane.accounts import roles
    from controlplane.accounts.services import team_create
    from controlplane.config.asgi import application

    def make() -> Person:
        return person_make("c@example.com", team_create(name="T", actor="t", now=clock.now()), roles.OWNER)

    person = await sync_to_async(make)()
    scope: dict[str, Any] = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/api/v1/tenants",
        "query_string": b"",
        "headers": [
            (b"host", b"127.0.0.1"),
            (b"authorization", f"Bearer {person.key}".encode()),
            (b"content-type", b"application/json"),
            (b"transfer-encoding", b"chunked"),
        ],
    }
    caller = ApplicationCommunicator(application, scope)
    body = json.dumps(GOOD).encode()
    await caller.send_input({"type": "http.request", "body": body[:10], "more_body": True})
    await caller.send_input({"type": "http.request", "body": body[10:]})
    start = await caller.receive_output(10)
    assert start["status"] == 202


def test_the_session_cookie_works_for_writes_with_its_token(acme: Acme, owner: Person) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)
    client.get("/tenants/")
    token = client.cookies["csrftoken"].value
    answer = client.patch(
        "/api/v1/tenants/acme",
        json.dumps({"name": "Acme 2"}),
        content_type="application/json",
        headers={"x-csrftoken": token},
    )
    assert (answer.status_code, answer.json()["name"]) == (200, "Acme 2")
