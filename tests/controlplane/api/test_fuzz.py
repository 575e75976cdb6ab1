"""The API against its own document: requests made up from it get answers that it names, and never a 5xx."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
api = schemathesis.openapi.from_wsgi("/api/schema/", get_wsgi_application())


@api.hook
def map_path_parameters(context: Any, path_parameters: dict[str, Any] | None) -> dict[str, Any] | None:
    """Most requests are about the tenant that exists: beyond its address is where there is something to break."""
    slug = (path_parameters or {}).get("slug")
    if path_parameters is not None and isinstance(slug, str) and len(slug) % 4:
        path_parameters["slug"] = "acme"
    return path_parameters


@api.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """A random cursor or zone is refused before the rest is looked at, so most of them are left out."""
    return {
        name: value
        for name, value in (query or {}).items()
        if name not in ("cursor", "timezone") or (isinstance(value, str) and len(value) % 4 == 1)
    }


@api.hook
def map_headers(context: Any, headers: Any) -> Any:
    """No made-up If-Match matches."""
    return {name: value for name, value in (headers or {}).items() if name != "If-Match"}


@api.hook
def map_body(context: Any, body: Any) -> Any:
    """No made-up word is a plan or a target either."""
    known = {"plan": "pro", "target": "local"}
    if not isinstance(body, dict):
        return body
    return {name: known.get(name, value) if isinstance(value, str) else value for name, value in body.items()}


@pytest.fixture
def active(acme: Acme, monkeypatch: pytest.MonkeyPatch) -> Acme:
    """Acme as it is when most requests may do something, with a runtime that issues keys."""

    def issue(url: str, **kwargs: Any) -> httpx.Response:
        return httpx.Response(200, json={"api_key": "rk_made_up"}, request=httpx.Request("POST", url))

    monkeypatch.setattr("controlplane.tenants.services.httpx.post", issue)
    # The CLI takes a second for each request; test_stack_export.py has it read a real state.
    monkeypatch.setattr("controlplane.tenants.exporting.state_export", lambda **kwargs: None)
    Tenant.objects.update(lifecycle="active", runtime_url="http://127.0.0.1:21003")
    return acme


@pytest.fixture
def kept_connection() -> Iterator[None]:
    """Django closes its connection around each request; here that would be the test's transaction."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.mark.usefixtures("kept_connection")
@api.parametrize()
@settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    # One tenant serves all examples of an operation: what one did, the next finds.
    suppress_health_check=list(HealthCheck),
)
def test_made_up_requests(case: Any, active: Acme, owner: Person) -> None:
    if (
        "operation_id" in (case.path_parameters or {})
        and case.path_parameters["operation_id"][-1] in "02468ace"
    ):
        case.path_parameters["operation_id"] = str(active[1].id)
    # A stream of an operation that waits would not end.
    headers = {"Authorization": f"Bearer {owner.key}", "Accept": "application/json"}
    case.call_and_validate(headers=headers, checks=CHECKS)
