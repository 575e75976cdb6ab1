"""Members, invitations and rotated keys through the API: the same guards as in the portal."""

from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from controlplane.accounts import roles
from controlplane.accounts.models import ApiKey, Invitation, Membership
from controlplane.accounts.services import api_key_create, membership_set
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person

Acme = tuple[Tenant, Operation]
STRONG = "a staple, a horse, a battery"


def facts() -> object:
    return (
        sorted(Membership.objects.values_list("user__email", "role", "tenant_ids")),
        sorted(Invitation.objects.values_list("email", "revoked_at")),
        sorted(ApiKey.objects.values_list("prefix", "revoked_at", "expires_at")),
    )


@pytest.fixture
def api(owner: Person) -> ApiClient:
    return owner.api()


def test_from_the_invitation_to_the_removal(api: ApiClient, owner: Person, acme: Acme) -> None:
    body = {"email": "Ada@Example.com", "role": "operator", "tenants": ["acme"], "expires_in_days": 1}
    made = api.post("/invitations", body, headers={"Idempotency-Key": "a"})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert api.post("/invitations", body, headers={"Idempotency-Key": "a"}).json() == made.json()
    listed = api.get("/invitations").json()["results"]
    assert [(row["email"], row["role"]) for row in listed] == [("ada@example.com", "operator")]
    assert "url" not in listed[0]

    link = urlsplit(made.json()["url"]).path
    assert Client().post(link, {"name": "Ada", "password": STRONG, "again": STRONG}).status_code == 302
    assert api.get("/invitations").json()["results"] == []
    people = {row["email"]: row for row in api.get("/members").json()["results"]}
    ada = people["ada@example.com"]
    assert (ada["role"], ada["tenant_ids"]) == ("operator", [str(acme[0].pk)])
    assert ada["last_login_at"] is not None

    path = f"/members/{ada['user_id']}"
    changed = api("PATCH", path, {"role": "viewer"})
    assert (changed.json()["role"], changed.json()["tenant_ids"]) == ("viewer", None)
    assert api("DELETE", path).status_code == 204
    assert api("DELETE", path).status_code == 404


def test_a_fresh_link_ends_the_one_before(
    api: ApiClient, owner: Person, teammate: Person, stranger: Person
) -> None:
    made = api.post(
        "/invitations", {"email": "ada@example.com", "role": "viewer", "expires_in_days": 3}
    ).json()
    path, kept = f"/invitations/{made['id']}/resend", Invitation.objects.values().get()
    for client, status in ((teammate.api(), 403), (stranger.api(), 404), (ApiClient(None), 401)):
        assert client.post(path).status_code == status
    assert Invitation.objects.values().get() == kept

    again = api.post(path, headers={"Idempotency-Key": "again"})

    assert again.status_code == 200
    assert again.headers["Cache-Control"] == "no-store"
    fresh = again.json()
    assert api.post(path, headers={"Idempotency-Key": "again"}).json() == fresh, "a repeat makes no other"
    assert (fresh["id"], fresh["email"]) == (made["id"], "ada@example.com")
    before, now = (urlsplit(each["url"]).path for each in (made, fresh))
    assert Client().get(before).status_code == 404
    assert Client().get(now).status_code == 200
    event = AuditEvent.objects.get(action="invitation.sent_again")
    assert (event.subject_id, event.data["email"]) == (made["id"], "ada@example.com")
    assert now.split("/")[-2] not in str(list(AuditEvent.objects.values()))
    assert api("DELETE", f"/invitations/{made['id']}").status_code == 204
    assert api.post(path).json()["code"] == "invitation_ended"


def test_a_person_is_listed_with_their_place_on_this_team(
    api: ApiClient, owner: Person, stranger: Person
) -> None:
    membership_set(team=owner.team, user=stranger.user, role=roles.VIEWER, actor="test", now=clock.now())

    listed = {row["email"]: row["role"] for row in api.get("/members").json()["results"]}

    assert listed == {"olivia@example.com": "owner", "sam@example.org": "viewer"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/invitations", {"email": "x@example.com", "role": "owner"}, 403),
        ("POST", "/invitations", {"email": "x@example.com", "role": "king"}, 422),
        ("POST", "/invitations", {"email": "x", "role": "viewer"}, 422),
        ("POST", "/invitations", {"email": "x@example.com", "role": "viewer", "tenants": ["nope"]}, 422),
        ("POST", "/invitations", {"email": "olivia@example.com", "role": "viewer"}, 409),
        ("PATCH", "/members/{owner}", {"role": "viewer"}, 403),
        ("DELETE", "/members/{owner}", None, 403),
        ("PATCH", "/members/{nobody}", {"role": "viewer"}, 404),
        ("DELETE", "/invitations/{nobody}", None, 404),
        ("POST", "/invitations/{nobody}/resend", {}, 404),
        ("POST", "/api-keys/{nobody}/rotate", {}, 404),
        ("POST", "/api-keys/{runtime}/rotate", {}, 409),
        ("POST", "/api-keys/{key}/rotate", {"overlap_hours": 721}, 422),
    ],
)
def test_what_is_refused_changes_nothing(
    api: ApiClient, owner: Person, acme: Acme, method: str, path: str, body: Any, status: int
) -> None:
    # A key acts as an admin, whoever made it: it decides nothing about owners.
    address = path.format(
        owner=owner.user.pk,
        nobody="00000000-0000-7000-8000-000000000000",
        runtime=acme[0].usage_key_id,
        key=ApiKey.objects.get(name=owner.user.email).pk,
    )
    before = facts()
    assert api(method, address, body).status_code == status
    assert facts() == before


def test_who_may(owner: Person, teammate: Person, stranger: Person, acme: Acme) -> None:
    _, token = api_key_create(
        team_id=owner.team.pk,
        name="l",
        scopes=[roles.ADMIN],
        tenant_ids=[acme[0].pk],
        actor="t",
        now=clock.now(),
    )
    key = ApiKey.objects.get(name=owner.user.email)
    before = facts()
    for client, status in ((teammate.api(), 403), (ApiClient(token), 403), (ApiClient(None), 401)):
        assert client.get("/members").status_code == status
        assert client.get("/invitations").status_code == status
        assert client.post("/invitations", {"email": "x@example.com", "role": "viewer"}).status_code == status
        assert client("DELETE", f"/members/{teammate.user.pk}").status_code == status
    assert "olivia" not in str(stranger.api().get("/members").json())
    assert stranger.api()("DELETE", f"/members/{teammate.user.pk}").status_code == 404
    assert stranger.api().post(f"/api-keys/{key.pk}/rotate").status_code == 404
    assert ApiClient(token).post(f"/api-keys/{key.pk}/rotate").status_code == 404
    assert facts() == before


def test_a_key_is_rotated(api: ApiClient, owner: Person) -> None:
    key = ApiKey.objects.get(name=owner.user.email)
    made = api.post(f"/api-keys/{key.pk}/rotate", {"overlap_hours": 1})

    assert made.status_code == 201
    assert ApiClient(made.json()["api_key"]).get("/tenants").status_code == 200
    assert api.get("/tenants").status_code == 200
    assert api.post(f"/api-keys/{key.pk}/rotate").status_code == 409
    new = made.json()["id"]
    ended = ApiClient(made.json()["api_key"]).post(f"/api-keys/{new}/rotate", {"overlap_hours": 0}).json()
    assert ApiClient(made.json()["api_key"]).get("/tenants").status_code == 401
    assert ApiClient(ended["api_key"]).get("/tenants").status_code == 200
