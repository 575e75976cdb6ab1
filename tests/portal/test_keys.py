"""Keys that are rotated with overlap, and keys of people who are limited to some tenants."""

from datetime import timedelta

import pytest

from controlplane.accounts import roles
from controlplane.accounts.models import ApiKey, Membership
from controlplane.accounts.selectors import principal_of_token
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]


def facts() -> object:
    return sorted(ApiKey.objects.values_list("prefix", "revoked_at", "expires_at"))


def test_a_key_is_rotated_with_overlap(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    old = ApiKey.objects.get(name=owner.user.email)
    assert Page(client.get("/keys/")).all("form", action=f"/keys/{old.pk}/rotate/")

    page = Page(client.post(f"/keys/{old.pk}/rotate/", {"overlap": "168"}))

    assert_clean(page)
    assert_accessible(page)
    token = page.html.split('id="issued-key">')[1].split("<")[0]
    found = principal_of_token(token=token, now=clock.now())
    assert found is not None
    assert found.team_id == owner.team.pk
    assert principal_of_token(token=owner.key, now=clock.now() + timedelta(days=6)) is not None
    assert principal_of_token(token=owner.key, now=clock.now() + timedelta(days=8)) is None
    assert "It replaces" in page.text
    assert "replaced by" in page.text
    again = client.post(f"/keys/{old.pk}/rotate/", follow=True)
    assert "has a replacement already" in Page(again).text
    assert token not in Page(again).html


def test_a_runtimes_key_is_rotated_with_its_tenant_only(
    owner: Person, browse: Browse, active: Active
) -> None:
    key = ApiKey.objects.get(pk=active[0].usage_key_id)
    client = browse(owner)
    before = facts()

    page = Page(client.post(f"/keys/{key.pk}/rotate/", follow=True))

    assert "freehold tenants rotate-credentials" in page.text
    assert not page.all("form", action=f"/keys/{key.pk}/rotate/")
    assert facts() == before


def test_somebody_limited_makes_and_sees_keys_with_the_same_limit(
    owner: Person, browse: Browse, active: Active
) -> None:
    admin = person_make("ada@example.com", owner.team, roles.ADMINISTRATOR)
    Membership.objects.filter(user=admin.user).update(tenant_ids=[active[0].pk])
    client = browse(admin)

    client.post("/keys/", {"name": "ci", "scopes": ["tenants:read"], "days": "30"})

    assert ApiKey.objects.get(name="ci").tenant_ids == [active[0].pk]
    page = Page(client.get("/keys/"))
    assert owner.user.email not in page.text
    theirs = ApiKey.objects.get(name=owner.user.email)
    for verb in ("rotate", "revoke"):
        assert client.post(f"/keys/{theirs.pk}/{verb}/").status_code == 404
    assert client.get("/access/").status_code == 403
    assert not page.all("a", href="/access/")


def test_only_admins_of_the_team_rotate(
    owner: Person, teammate: Person, stranger: Person, browse: Browse
) -> None:
    path = f"/keys/{ApiKey.objects.get(name=owner.user.email).pk}/rotate/"
    before = facts()

    assert browse(teammate).post(path).status_code == 403
    assert browse(stranger).post(path).status_code == 404
    assert browse(None).post(path).status_code == 302
    assert facts() == before
