"""What the tests of pages share: people who are signed in, and a look at a page's HTML."""

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client

from controlplane.accounts import roles
from controlplane.accounts.invitations import invitation_accept, invitation_create
from controlplane.accounts.models import User
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.support.people import PASSWORD, Person


class Page(HTMLParser):
    """The parts of a page that tests ask about."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.status = response.status_code
        self.headers = response.headers
        self.html: str = response.content.decode()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.inline_scripts = 0
        self._in_script = False
        self._words: list[str] = []
        self.feed(self.html)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._in_script = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and data.strip():
            self.inline_scripts += 1
        elif data.strip():
            self._words.append(data.strip())

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [
            found
            for name, found in self.tags
            if name == tag and all(found.get(key.replace("_", "-")) == value for key, value in wanted.items())
        ]

    def value(self, name: str) -> str:
        """The value of the first field of that name."""
        return next(found.get("value", "") for tag, found in self.tags if found.get("name") == name)


def signed_in(client: Client, person: Person, ago_s: float = 0.0) -> None:
    """Notes in the session what signing in by password does."""
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": time.time() - ago_s}]
    session["account_authentication_methods_user"] = str(person.user.pk)
    session.save()


Browse = Callable[[Person | None], Client]


@pytest.fixture
def browse() -> Browse:
    def browser_of(person: Person | None) -> Client:
        client = Client(enforce_csrf_checks=False)
        if person is not None:
            client.force_login(person.user)
            signed_in(client, person)
        return client

    return browser_of


@pytest.fixture
def active(owner: Person) -> tuple[Tenant, Operation]:
    """An active tenant `acme` of the owner, with usage of today."""
    now = clock.now()
    tenant, operation = stories.provisioned(owner.principal, "acme", now, name="Acme Corporation")
    later = clock.now()
    stories.used(
        tenant,
        [
            event
            for n in range(1, 7)
            for event in (stories.model_call("acme", n, later), stories.run_end("acme", n, later))
        ],
        later,
    )
    return tenant, operation


@pytest.fixture
def customer(owner: Person, active: tuple[Tenant, Operation]) -> User:
    """Carla, of the tenant `acme` itself: she came by an invitation."""
    _, token = invitation_create(
        principal=owner.principal, email="carla@acme.example", role=roles.CUSTOMER, tenant_ids=[active[0].pk],
        secret="s" * 43, now=clock.now(),
    )  # fmt: skip
    return invitation_accept(token=token, name="Carla", password=PASSWORD, now=clock.now())


@pytest.fixture
def quiet_doorbell(monkeypatch: pytest.MonkeyPatch) -> None:
    """No worker listens in these tests."""
    monkeypatch.setattr("controlplane.operations.doorbell.doorbell_ring", lambda: None)
