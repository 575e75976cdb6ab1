"""Changing and deleting tenants while others do: no update is lost, nothing half done."""

import threading

import pytest
from django.db import connection

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_update
from tests.support.people import Person, person_make

Acme = tuple[Tenant, Operation]


@pytest.mark.django_db(transaction=True)
def test_of_simultaneous_changes_with_one_etag_one_wins() -> None:
    person = person_make("race@example.com", team_create(name="T", actor="t", now=clock.now()), roles.OWNER)
    tenant_create(
        principal=person.principal, slug="acme", name="Acme", plan="starter", target="local", now=clock.now()
    )
    tag = person.api().get("/tenants/acme").headers["ETag"]
    statuses: list[int] = []
    start = threading.Barrier(6)

    def send(name: str) -> None:
        start.wait()
        try:
            answer = person.api()("PATCH", "/tenants/acme", {"name": name}, headers={"if-match": tag})
            statuses.append(answer.status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(f"Acme {index}",)) for index in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(statuses) == [200, 412, 412, 412, 412, 412]


def test_a_change_keeps_what_another_changed_since_the_tenant_was_read(acme: Acme, owner: Person) -> None:
    read = Tenant.objects.get()
    owner.api()("PATCH", "/tenants/acme", {"name": "Other", "labels": {"a": "b"}})
    tenant_update(
        principal=owner.principal, tenant=read, changes={"deletion_protection": True}, now=clock.now()
    )
    now = Tenant.objects.get()
    assert (now.name, now.labels, now.deletion_protection) == ("Other", {"a": "b"}, True)


@pytest.mark.parametrize(
    "body", [{}, {"name": "Acme"}, {"name": " Acme "}, {"plan": "starter", "labels": {}}]
)
def test_a_change_of_nothing_leaves_no_trace(acme: Acme, owner: Person, body: dict[str, object]) -> None:
    tag = owner.api().get("/tenants/acme").headers["ETag"]
    answer = owner.api()("PATCH", "/tenants/acme", body)
    assert (answer.status_code, answer.headers["ETag"]) == (200, tag)
    assert not AuditEvent.objects.filter(action="tenant.updated").exists()


def test_the_version_moves_though_the_clock_does_not(acme: Acme, owner: Person) -> None:
    before = Tenant.objects.get()
    changed, _ = tenant_update(
        principal=owner.principal, tenant=before, changes={"name": "Other"}, now=before.updated_at
    )
    assert changed.updated_at > before.updated_at


def test_delete_cancels_a_provision_that_awaits_approval(acme: Acme, owner: Person) -> None:
    Tenant.objects.update(lifecycle="provisioning")
    Operation.objects.update(state="awaiting_approval")
    assert owner.api()("DELETE", "/tenants/acme").status_code == 202
    assert dict(Operation.objects.values_list("kind", "state")) == {
        "provision": "canceled",
        "deprovision": "queued",
    }


def test_delete_of_a_tenant_whose_provision_runs_is_refused_and_cancels_nothing(
    acme: Acme, owner: Person
) -> None:
    Tenant.objects.update(lifecycle="provisioning")
    Operation.objects.update(state="applying")
    refused = owner.api()("DELETE", "/tenants/acme")
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_state")
    running = Operation.objects.get()
    assert (running.state, running.cancel_requested_at) == ("applying", None)


def test_a_region_must_be_one_of_the_targets(owner: Person) -> None:
    body = {"slug": "globex", "name": "Globex", "plan": "starter", "target": "local"}
    refused = owner.api().post("/tenants", {**body, "region": "mars"})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/region")
    assert owner.api().post("/tenants", {**body, "region": "local"}).status_code == 202


@pytest.mark.parametrize(
    ("path", "parameter", "choice"),
    [
        ("/operations", "state", "queued"),
        ("/operations", "kind", "provision"),
        ("/tenants", "lifecycle", "requested"),
        ("/tenants", "health", "unknown"),
        ("/tenants", "billing", "current"),
    ],
)
def test_filters_name_their_choices(
    acme: Acme, owner: Person, path: str, parameter: str, choice: str
) -> None:
    refused = owner.api().get(f"{path}?{parameter}=zzz")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{parameter}")
    assert choice in refused.json()["detail"]
    assert len(owner.api().get(f"{path}?{parameter}={choice}").json()["results"]) == 1
