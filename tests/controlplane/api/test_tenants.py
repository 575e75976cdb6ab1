"""/api/v1/tenants: creating, listing, changing, deleting; each refusal a problem document, nothing created."""

from typing import Any

import pytest

from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
GOOD = {"slug": "globex", "name": "Globex", "plan": "starter", "target": "local"}


def test_create_answers_202_with_tenant_operation_and_location(owner: Person) -> None:
    answer = owner.api().post("/tenants", {**GOOD, "labels": {"env": "prod"}})
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/api/v1/operations/{body['operation']['id']}"
    assert (body["tenant"]["lifecycle"], body["operation"]["kind"], body["operation"]["state"]) == (
        "requested",
        "provision",
        "queued",
    )
    assert body["operation"]["queue_position"] == 1


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "invalid slug": ({"slug": "Bad Slug!"}, "/slug"),
    "trailing newline": ({"slug": "globex\n"}, "/slug"),
    "reserved slug": ({"slug": "new"}, "/slug"),
    "long slug": ({"slug": "a" * 41}, "/slug"),
    "unknown plan": ({"plan": "gold"}, "/plan"),
    "unknown target": ({"target": "moon"}, "/target"),
    "empty name": ({"name": "  "}, "/name"),
    "bad e-mail": ({"contact_email": "nobody"}, "/contact_email"),
    "labels a list": ({"labels": [1]}, "/labels"),
    "label key": ({"labels": {"BAD KEY": "x"}}, "/labels/BAD KEY"),
    "unknown field": ({"planet": "mars"}, "/planet"),
    "override part": ({"overrides": {"disk": {}}}, "/overrides/disk"),
    "override value": ({"overrides": {"cache": {"max_memory_mb": 1}}}, "/overrides/cache/max_memory_mb"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_names_the_field_and_creates_nothing(owner: Person, case: str) -> None:
    change, pointer = BAD[case]
    answer = owner.api().post("/tenants", {**GOOD, **change})
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert pointer in [problem["pointer"] for problem in answer.json()["errors"]]
    assert Tenant.objects.count() == Operation.objects.count() == 0


def test_nul_is_refused_wherever_it_stands(owner: Person) -> None:
    assert owner.api().post("/tenants", {**GOOD, "labels": {"a": "b\x00"}}).status_code == 422
    assert owner.api().get("/tenants?q=%00").status_code == 400


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{bad", "application/json", 400),
        ("[]", "application/json", 422),
        ("slug=x", "application/x-www-form-urlencoded", 415),
        ("<x/>", "text/xml", 415),
    ],
)
def test_bodies_that_are_not_json_objects(owner: Person, body: str, content_type: str, status: int) -> None:
    answer = owner.api()("POST", "/tenants", body, content_type=content_type)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert Tenant.objects.count() == 0


def test_a_taken_slug_is_a_conflict_for_other_teams_too(acme: Acme, owner: Person, stranger: Person) -> None:
    for person in (owner, stranger):
        answer = person.api().post("/tenants", {**GOOD, "slug": "acme"})
        assert (answer.status_code, answer.json()["code"]) == (409, "slug_taken")
    assert Tenant.objects.count() == 1


def test_places_do_not_overlap(owner: Person) -> None:
    for number in range(4):
        assert owner.api().post("/tenants", {**GOOD, "slug": f"t{number}"}).status_code == 202
    ports = [
        port for operation in Operation.objects.all() for port in operation.spec["local"]["ports"].values()
    ]
    assert len(set(ports)) == 16


def test_list_filters_and_pages(owner: Person) -> None:
    for number in range(5):
        owner.api().post("/tenants", {**GOOD, "slug": f"t{number}", "labels": {"n": str(number)}})
    first = owner.api().get("/tenants?limit=2").json()
    assert [row["slug"] for row in first["results"]] == ["t4", "t3"]
    assert first["previous"] is None
    second = owner.api().get(first["next"].split("/api/v1")[1]).json()
    assert [row["slug"] for row in second["results"]] == ["t2", "t1"]
    back = owner.api().get(second["previous"].split("/api/v1")[1]).json()
    assert [row["slug"] for row in back["results"]] == ["t4", "t3"]
    assert [r["slug"] for r in owner.api().get("/tenants?label=n=3").json()["results"]] == ["t3"]
    assert [r["slug"] for r in owner.api().get("/tenants?q=T4").json()["results"]] == ["t4"]
    assert owner.api().get("/tenants?lifecycle=active").json()["results"] == []
    assert owner.api().get("/tenants?limit=0").status_code == 422
    assert owner.api().get("/tenants?cursor=nonsense").status_code == 422


def test_patch_respects_if_match(acme: Acme, owner: Person) -> None:
    read = owner.api().get("/tenants/acme")
    tag = read.headers["ETag"]
    changed = owner.api()("PATCH", "/tenants/acme", {"name": "Acme 2"}, headers={"if-match": tag})
    assert (changed.status_code, changed.json()["name"]) == (200, "Acme 2")
    stale = owner.api()("PATCH", "/tenants/acme", {"name": "Acme 3"}, headers={"if-match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert Tenant.objects.get().name == "Acme 2"


def test_patch_of_the_plan_queues_an_update_when_the_lifecycle_allows(acme: Acme, owner: Person) -> None:
    refused = owner.api()("PATCH", "/tenants/acme", {"plan": "pro"})
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_state")
    assert Tenant.objects.get().plan == "starter"
    Tenant.objects.update(lifecycle="active")
    accepted = owner.api()("PATCH", "/tenants/acme", {"plan": "pro"})
    assert accepted.status_code == 202
    assert accepted.json()["operation"]["kind"] == "update"
    assert Operation.objects.get(kind="update").spec["gpu"]["count"] == 1


def test_delete_is_refused_while_protected(acme: Acme, owner: Person) -> None:
    owner.api()("PATCH", "/tenants/acme", {"deletion_protection": True})
    refused = owner.api()("DELETE", "/tenants/acme")
    assert (refused.status_code, refused.json()["code"]) == (409, "deletion_protected")
    owner.api()("PATCH", "/tenants/acme", {"deletion_protection": False})
    accepted = owner.api()("DELETE", "/tenants/acme")
    assert accepted.status_code == 202
    assert owner.api()("DELETE", "/tenants/acme").json()["code"] in ("already_deleting", "tenant_state")


def test_enterprise_is_protected_from_the_start(owner: Person) -> None:
    body = owner.api().post("/tenants", {**GOOD, "plan": "enterprise"}).json()
    assert body["tenant"]["deletion_protection"] is True


def test_no_secret_in_any_answer(acme: Acme, owner: Person) -> None:
    from controlplane.core.encryption import decrypt
    from controlplane.tenants.rotation import secrets_context
    from controlplane.tenants.runtime_secrets import STORAGE, WEBHOOK

    tenant, operation = acme
    sealed = decrypt(tenant.sealed_secrets, context=secrets_context(tenant.id))
    secrets = [value for value in sealed.values() if isinstance(value, str)]
    secrets += [sealed[STORAGE][0]["key"], *sealed[WEBHOOK]]
    paths = [
        "/tenants",
        "/tenants/acme",
        "/tenants/acme/outputs",
        "/operations",
        f"/operations/{operation.id}",
    ]
    paths += [f"/operations/{operation.id}/plan", "/api-keys", "/audit-events"]
    for path in paths:
        text = owner.api().get(path).content.decode()
        assert not [secret for secret in secrets if secret in text], path
