"""The three people of every access test, and what they need to act.

Olivia owns the team, Tom is on it as a viewer, Sam owns another team and must see nothing.
"""

from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.models import Team, User
from controlplane.accounts.selectors import principal_of_user
from controlplane.accounts.services import api_key_create, membership_set, team_create, user_create
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    user: User
    team: Team
    principal: Principal
    key: str

    def api(self) -> "ApiClient":
        return ApiClient(self.key)


class ApiClient:
    """Calls /api/v1 as one person does, with an API key."""

    def __init__(self, key: str | None) -> None:
        self._client = Client(raise_request_exception=False)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    def __call__(self, method: str, path: str, body: Any = None, **kwargs: Any) -> Any:
        headers = {**self._headers, **kwargs.pop("headers", {})}
        if body is not None and "content_type" not in kwargs:
            kwargs["content_type"] = "application/json"
        data = {"data": body} if body is not None else {}
        return self._client.generic(method, f"/api/v1{path}", headers=headers, **_generic(data, kwargs))

    def get(self, path: str, **kwargs: Any) -> Any:
        return self("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> Any:
        return self("POST", path, {} if body is None else body, **kwargs)


def _generic(data: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    import json

    if "data" in data and not isinstance(data["data"], str | bytes):
        data = {"data": json.dumps(data["data"])}
    return {**data, **kwargs}


def person_make(email: str, team: Team, role: str) -> Person:
    now = clock.now()
    user = user_create(
        email=email, password=PASSWORD, name=email.split("@")[0].title(), actor="test", now=now
    )
    membership_set(team=team, user=user, role=role, actor="test", now=now)
    principal = principal_of_user(user=user)
    assert principal is not None
    _, key = api_key_create(
        team_id=team.id, name=email, scopes=sorted(roles.ROLE_SCOPES[role]), actor="test", now=now
    )
    return Person(user, team, principal, key)


@pytest.fixture
def owner(db: None) -> Person:
    return person_make(
        "olivia@example.com", team_create(name="Team O", actor="test", now=clock.now()), roles.OWNER
    )


@pytest.fixture
def teammate(owner: Person) -> Person:
    return person_make("tom@example.com", owner.team, roles.VIEWER)


@pytest.fixture
def stranger(db: None) -> Person:
    return person_make(
        "sam@example.org", team_create(name="Team S", actor="test", now=clock.now()), roles.OWNER
    )


@pytest.fixture
def acme(owner: Person) -> tuple[Tenant, Operation]:
    """A tenant just requested by the owner, with its queued operation."""
    return tenant_create(
        principal=owner.principal, slug="acme", name="Acme", plan="starter", target="local", now=clock.now()
    )


@pytest.fixture
def active(acme: tuple[Tenant, Operation]) -> Tenant:
    """It, as if it had been provisioned."""
    tenant, operation = acme
    Operation.objects.filter(pk=operation.pk).update(state=states.SUCCEEDED)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="active", runtime_url="http://h")
    tenant.refresh_from_db()
    return tenant
