"""Keys of a tenant's runtime are made in a role: the least unless another is chosen, none beyond one's own."""

from typing import Any

import httpx
import pytest

from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.core.audit import audit_record
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal.key_roles import ABOUT
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_tokens import RUNTIME_ROLES
from tests.portal.conftest import Browse, Page
from tests.portal.test_commands import taken
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
SETTINGS, KEY = "/tenants/acme/settings/", "/tenants/acme/credentials/"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the runtime is asked to make."""
    asked: list[dict[str, Any]] = []

    def issue(url: str, **kwargs: Any) -> httpx.Response:
        asked.append(kwargs["json"])
        return httpx.Response(200, json={"api_key": "fhr_once"}, request=httpx.Request("POST", url))

    monkeypatch.setattr(httpx, "post", issue)
    return asked


def given() -> list[dict[str, Any]]:
    events = AuditEvent.objects.filter(action="tenant.credentials_issued").order_by("sequence")
    return list(events.values_list("data", flat=True))


def test_the_least_comes_first_and_is_had_unasked(
    owner: Person, browse: Browse, active: Active, made: list[dict[str, Any]]
) -> None:
    client = browse(owner)
    assert set(ABOUT) == set(RUNTIME_ROLES)
    page = Page(client.get(SETTINGS))
    assert_clean(page)
    assert_accessible(page)
    assert "None yet. A program that calls" in page.text
    offered = [found["value"] for found in page.all("option") if found.get("value") in RUNTIME_ROLES]
    assert offered == ["user", "developer", "operator", "auditor", "admin"]

    client.post(KEY, {"name": "web-app"})
    shown = Page(client.post(KEY, {"name": "console", "role": "operator"}))

    assert "operator" in shown.text
    assert made == [{"name": "web-app", "role": "user"}, {"name": "console", "role": "operator"}] == given()
    listed = Page(client.get(SETTINGS))
    assert_clean(listed)
    assert_accessible(listed)
    assert listed.text.index("console operator") < listed.text.index("web-app user")
    taken("freehold tenants credentials acme --role user")


def test_nobody_gives_out_more_than_their_own(
    owner: Person, browse: Browse, active: Active, made: list[dict[str, Any]]
) -> None:
    operator = person_make("olga@example.com", owner.team, roles.OPERATOR)
    client = browse(operator)
    offered = [found.get("value") for found in Page(client.get(SETTINGS)).all("option")]
    assert "operator" in offered
    assert not {"admin", "auditor"} & set(offered)

    for role in ("admin", "auditor", "king"):
        assert client.post(KEY, {"name": "x", "role": role}).status_code == 403
        assert client.post("/tenants/acme/start/", {"name": "x", "role": role}).status_code == 403
    assert operator.api().post("/tenants/acme/credentials", {"role": "admin"}).status_code == 403
    assert (made, given()) == ([], [])


def test_the_api_takes_a_role_and_means_operator_without_one(
    owner: Person, teammate: Person, stranger: Person, active: Active, made: list[dict[str, Any]]
) -> None:
    answers = [owner.api().post("/tenants/acme/credentials", body) for body in ({}, {"role": "user"})]

    assert [answer.json()["role"] for answer in answers] == ["operator", "user"]
    assert [asked["role"] for asked in made] == ["operator", "user"]
    wrong = owner.api().post("/tenants/acme/credentials", {"role": "king"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/role")
    assert teammate.api().post("/tenants/acme/credentials", {"role": "user"}).status_code == 403
    assert stranger.api().post("/tenants/acme/credentials", {"role": "user"}).status_code == 404
    assert len(made) == 2


def test_a_key_of_before_was_an_operators(owner: Person, browse: Browse, active: Active) -> None:
    audit_record(
        at=clock.now(), actor=owner.principal.actor, action="tenant.credentials_issued", subject_type="tenant",
        subject_id=str(active[0].pk), team_id=owner.team.pk, data={"name": "old"},
    )  # fmt: skip

    assert "old operator" in Page(browse(owner).get(SETTINGS)).text
