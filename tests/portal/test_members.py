"""The pages of access: members, invitations and the link they lead through, and keys that are rotated."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from controlplane.accounts import roles
from controlplane.accounts.models import ApiKey, Invitation, Membership, User
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import PASSWORD, Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
STRONG = "a staple, a horse, a battery"


def facts() -> object:
    return (
        sorted(Membership.objects.values_list("user__email", "role", "tenant_ids")),
        sorted(Invitation.objects.values_list("email", "revoked_at", "accepted_at")),
        sorted(ApiKey.objects.values_list("prefix", "revoked_at", "expires_at")),
        User.objects.count(),
    )


def invited(client: Client, **fields: str) -> str:
    """The path of the link that the page shows."""
    page = Page(client.post("/access/", {"email": "new@example.com", "role": "operator", **fields}))
    assert page.status == 200, page.text
    assert_clean(page)
    assert_accessible(page)
    link = page.html.split('id="issued-link">')[1].split("<")[0]
    return urlsplit(link).path


def test_from_the_invitation_to_the_first_page(owner: Person, browse: Browse, active: Active) -> None:
    stories.failed(owner.principal, "hooli", clock.now())
    client = browse(owner)
    link = invited(client, tenants="acme")
    listed = Page(client.get("/access/"))
    assert "new@example.com" in listed.text
    assert link not in listed.html, "the link is shown once"

    visitor = Client()
    form = Page(visitor.get(link))
    assert form.status == 200
    assert_clean(form)
    assert_accessible(form)
    assert form.headers["Referrer-Policy"] == "same-origin"
    assert "operator" in form.text
    answer = visitor.post(link, {"name": "Nora", "password": STRONG, "again": STRONG})
    assert answer.headers["Location"] == "/"

    home = Page(visitor.get("/"))
    assert "You are on the team" in home.text
    assert "hooli" not in home.html, "limited to acme"
    assert visitor.get("/tenants/acme/").status_code == 200
    assert visitor.get("/tenants/hooli/").status_code == 404
    assert visitor.get("/access/").status_code == 403
    assert Client().get(link).status_code == 404
    assert User.objects.get(email="new@example.com").last_login is not None
    assert Page(client.get("/access/")).text.count("acme") >= 1


def test_mistakes_are_told_at_their_fields_and_use_nothing_up(owner: Person, browse: Browse) -> None:
    link = invited(browse(owner))
    before = facts()
    visitor = Client()

    for password, again, said in (
        ("tiny-pass", "tiny-pass", "too short"),
        (STRONG, "another", "is not the same"),
    ):
        page = Page(visitor.post(link, {"name": "Nora", "password": password, "again": again}))
        assert page.status == 422
        assert said in page.text
        assert page.value("name") == "Nora"
        assert password not in page.html
        assert_clean(page)
    assert facts() == before
    assert Page(visitor.get("/join/made-up/")).status == 404
    assert visitor.put(link).status_code == 405


def test_an_invitation_that_cannot_be_is_told_at_its_field(owner: Person, browse: Browse) -> None:
    before = facts()
    client = browse(owner)
    for fields, said in (
        ({"email": "nobody"}, "is not an e-mail address"),
        ({"email": "olivia@example.com"}, "is on the team already"),
        ({"tenants": "acme, globex"}, "there is no tenant acme, globex"),
        ({"role": "king"}, "must be one of"),
    ):
        page = Page(client.post("/access/", {"email": "new@example.com", "role": "viewer", **fields}))
        assert page.status in (409, 422)
        assert said in page.text
        assert_accessible(page)
    assert facts() == before


def test_a_role_is_changed_and_somebody_taken_off(
    owner: Person, teammate: Person, browse: Browse, active: Active
) -> None:
    client, theirs = browse(owner), browse(teammate)
    assert theirs.get("/").status_code == 200
    person = f"/access/members/{teammate.user.pk}/"

    changed = Page(client.post(person, {"role": "operator", "tenants": "acme"}, follow=True))
    assert "tom@example.com is operator from the next request on" in changed.text
    assert "Of the tenants that your access is limited to" in Page(theirs.get("/")).text

    removed = Page(client.post(f"{person}remove/", {"keys": "on"}, follow=True))
    assert "They are off the team" in removed.text
    ended = Page(theirs.get("/"))
    assert ended.status == 403
    assert "You belong to no team yet" in ended.text
    assert theirs.get("/api/v1/tenants").status_code == 401


def test_keys_of_runtimes_outlive_who_made_their_tenant(owner: Person, browse: Browse) -> None:
    maker = person_make("max@example.com", owner.team, roles.OPERATOR)
    tenant, _ = stories.provisioned(maker.principal, "acme", clock.now())
    own = ApiKey.objects.create(
        team=owner.team, name="own", prefix="0123abcd", token_hash="x", scopes=["usage:write"],
        created_by=maker.principal.actor, created_at=clock.now(),
    )  # fmt: skip

    page = Page(browse(owner).post(f"/access/members/{maker.user.pk}/remove/", {"keys": "on"}, follow=True))

    assert "1 of their API keys were revoked" in page.text
    own.refresh_from_db()
    assert own.revoked_at is not None
    assert ApiKey.objects.get(pk=tenant.usage_key_id).revoked_at is None


def test_the_last_owner_is_told_why_they_stay(owner: Person, browse: Browse) -> None:
    before = facts()
    client = browse(owner)
    for path, body in (("", {"role": "viewer"}), ("remove/", {})):
        page = Page(client.post(f"/access/members/{owner.user.pk}/{path}", body, follow=True))
        assert "is the team's last owner" in page.text
        assert page.all("div", role="alert")
    assert facts() == before


def test_an_admin_is_offered_nothing_about_owners(owner: Person, browse: Browse) -> None:
    admin = person_make("ada@example.com", owner.team, roles.ADMINISTRATOR)
    client = browse(admin)
    page = Page(client.get("/access/"))

    assert not page.all("option", value="owner")
    assert not page.all("form", action=f"/access/members/{owner.user.pk}/")
    assert "Only an owner decides about owners" in page.text
    before = facts()
    assert client.post(f"/access/members/{owner.user.pk}/remove/").status_code == 403
    assert facts() == before


def test_who_finds_and_changes_nothing(
    owner: Person, teammate: Person, stranger: Person, browse: Browse
) -> None:
    invited(browse(owner))
    invitation = Invitation.objects.get()
    before = facts()
    paths = (
        f"/access/members/{owner.user.pk}/",
        f"/access/members/{owner.user.pk}/remove/",
        f"/access/invitations/{invitation.pk}/revoke/",
    )
    for path in paths:
        assert browse(teammate).post(path, {"role": "viewer"}).status_code == 403
        assert browse(stranger).post(path, {"role": "viewer"}).status_code == 404
        assert browse(None).post(path, {"role": "viewer"}).status_code == 302
    assert browse(teammate).get("/access/").status_code == 403
    assert browse(teammate).post("/access/", {"email": "a@example.com", "role": "viewer"}).status_code == 403
    assert not Page(browse(teammate).get("/")).all("a", href="/access/")
    theirs = Page(browse(stranger).get("/access/"))
    assert "olivia" not in theirs.html
    assert "new@example.com" not in theirs.html
    assert facts() == before


def test_a_revoked_invitation_lets_nobody_in(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    link = invited(client)
    path = f"/access/invitations/{Invitation.objects.get().pk}/revoke/"

    assert "its link lets nobody in" in Page(client.post(path, follow=True)).text
    assert Client().get(link).status_code == 404
    assert "revoked before" in Page(client.post(path, follow=True)).text


def test_signing_in_shows_when(owner: Person, browse: Browse, client: Client) -> None:
    teammate = person_make("tom@example.com", owner.team, roles.VIEWER)
    assert "never signed in" in Page(browse(owner).get("/access/")).text
    client.post("/account/login/", {"login": teammate.user.email, "password": PASSWORD})

    teammate.user.refresh_from_db()
    assert teammate.user.last_login is not None
    moment = f"{teammate.user.last_login:%Y-%m-%d %H:%M:%S}"
    assert any(found["title"].startswith(moment) for found in Page(browse(owner).get("/access/")).all("time"))


def test_it_costs_few_queries(
    owner: Person, browse: Browse, active: Active, django_assert_max_num_queries: Any
) -> None:
    client = browse(owner)
    for number in range(4):
        person = person_make(f"p{number}@example.com", owner.team, roles.VIEWER)
        Membership.objects.filter(user=person.user).update(tenant_ids=[active[0].pk])
    for path in ("/access/", "/keys/"):
        with django_assert_max_num_queries(12):
            client.get(path)
