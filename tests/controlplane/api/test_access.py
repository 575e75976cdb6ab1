"""Every path against the three people: the owner may, the viewer reads, the stranger finds nothing."""

import pytest

from controlplane.accounts.services import api_key_create, api_key_revoke
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person

Acme = tuple[Tenant, Operation]

READS = [
    "/tenants/acme",
    "/tenants/acme/resources",
    "/tenants/acme/outputs",
    "/tenants/acme/health",
    "/tenants/acme/timeline",
    "/tenants/acme/snapshots",
    "/tenants/acme/usage?meter=input_tokens",
    "/tenants/acme/usage-report",
    "/tenants/acme/usage-report?format=csv",
    "/tenants/acme/invoice-preview",
    "/tenants/acme/agreement",
    "/tenants/acme/credits",
    "/tenants/acme/costs",
    "/tenants/acme/margin",
    "/operations/{operation}",
    "/operations/{operation}/plan",
]
WRITES = [
    ("PATCH", "/tenants/acme", {"name": "Other"}),
    ("DELETE", "/tenants/acme", None),
    ("POST", "/tenants/acme/update", {}),
    ("POST", "/tenants/acme/preview", {}),
    ("POST", "/tenants/acme/refresh", {}),
    ("POST", "/tenants/acme/suspend", {}),
    ("POST", "/tenants/acme/resume", {}),
    ("POST", "/tenants/acme/rotate-credentials", {}),
    ("POST", "/tenants/acme/upgrade", {}),
    ("PATCH", "/tenants/acme", {"runtime_version": "0.1.0"}),
    ("POST", "/tenants/acme/snapshot", {}),
    ("POST", "/tenants/acme/restore", {}),
    ("POST", "/tenants/acme/credentials", {}),
    ("POST", "/tenants/acme/credits", {"name": "c", "source": "promotion", "amount": "5"}),
    ("DELETE", "/tenants/acme/credits/01900000-0000-7000-8000-000000000000", None),
    ("POST", "/operations/{operation}/cancel", {}),
    ("POST", "/operations/{operation}/retry", {}),
    ("POST", "/operations/{operation}/approve", {}),
    ("POST", "/operations/{operation}/reject", {}),
]


@pytest.mark.parametrize("path", READS)
def test_reads(acme: Acme, owner: Person, teammate: Person, stranger: Person, path: str) -> None:
    path = path.format(operation=acme[1].id)
    assert owner.api().get(path).status_code == 200
    assert teammate.api().get(path).status_code == 200
    assert stranger.api().get(path).status_code == 404
    anonymous = ApiClient(None).get(path)
    assert anonymous.status_code == 401
    assert anonymous.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_writes(
    acme: Acme, teammate: Person, stranger: Person, method: str, path: str, body: dict[str, str] | None
) -> None:
    tenant, operation = acme
    path = path.format(operation=operation.id)
    assert ApiClient(None)(method, path, body).status_code == 401
    refused = teammate.api()(method, path, body)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert "required_scope" in refused.json()
    assert stranger.api()(method, path, body).status_code == 404
    after = Tenant.objects.get(pk=tenant.pk)
    assert (after.name, after.lifecycle, after.updated_at) == (
        tenant.name,
        tenant.lifecycle,
        tenant.updated_at,
    )
    assert Operation.objects.get().state == "queued"


def test_lists_show_only_ones_own(acme: Acme, owner: Person, stranger: Person) -> None:
    assert [row["slug"] for row in owner.api().get("/tenants").json()["results"]] == ["acme"]
    assert stranger.api().get("/tenants").json()["results"] == []
    assert stranger.api().get("/operations").json()["results"] == []
    assert (
        stranger.api().get("/audit-events").json()["results"]
        != owner.api().get("/audit-events").json()["results"]
    )


def test_a_key_limited_to_other_tenants_sees_nothing(acme: Acme, owner: Person) -> None:
    _, token = api_key_create(
        team_id=owner.team.id, name="limited", scopes=["admin"], tenant_ids=[], actor="test", now=clock.now()
    )
    assert ApiClient(token).get("/tenants/acme").status_code == 404
    assert ApiClient(token).get("/tenants").json()["results"] == []


def test_a_revoked_or_expired_key_is_refused_at_once(acme: Acme, owner: Person) -> None:
    key, token = api_key_create(
        team_id=owner.team.id, name="short", scopes=["tenants:read"], actor="test", now=clock.now()
    )
    assert ApiClient(token).get("/tenants").status_code == 200
    api_key_revoke(team_id=owner.team.id, api_key_id=key.id, actor="test", now=clock.now())
    assert ApiClient(token).get("/tenants").status_code == 401


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer x", "Basic abc", "Bearer fh_00000000_x' OR 1=1 --", "Bearer " + "a" * 5000]
)
def test_malformed_keys_are_refused(db: None, header: str) -> None:
    answer = ApiClient(None).get("/tenants", headers={"authorization": header})
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_api_key"


def test_a_session_needs_the_csrf_token_for_writes(acme: Acme, owner: Person) -> None:
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(owner.user)
    assert client.get("/api/v1/tenants").status_code == 200
    refused = client.delete("/api/v1/tenants/acme")
    assert refused.status_code == 403
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_a_limited_key_is_contained(acme: Acme, owner: Person) -> None:
    """Even with the scope admin: nothing of the team beyond its tenants."""
    mine, token = api_key_create(
        team_id=owner.team.id,
        name="limited",
        scopes=["admin"],
        tenant_ids=[acme[0].id],
        actor="test",
        now=clock.now(),
    )
    wide, _ = api_key_create(
        team_id=owner.team.id, name="wide", scopes=["admin"], actor="test", now=clock.now()
    )
    limited = ApiClient(token)
    body = {"slug": "globex", "name": "G", "plan": "starter", "target": "local"}
    assert limited.post("/tenants", body).status_code == 403
    assert Tenant.objects.count() == 1
    names = {row["name"] for row in limited.get("/api-keys").json()["results"]}
    assert names == {"limited", "usage of acme"}
    assert limited("DELETE", f"/api-keys/{wide.id}").status_code == 404
    assert limited.get("/audit-events").status_code == 403
    assert limited.get("/audit-events/verify").status_code == 403
    assert limited("DELETE", f"/api-keys/{mine.id}").status_code == 204
