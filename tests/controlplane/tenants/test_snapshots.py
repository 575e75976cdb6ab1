"""Snapshots in the control plane: who may do what, what is kept, what is removed, what a deletion asks for."""

import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from controlplane.accounts.selectors import actor_person
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.operations.binding import approval_reason
from controlplane.operations.models import Operation
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.folders import snapshot_folder
from controlplane.tenants.snapshots.jobs import data_job_build
from controlplane.tenants.snapshots.requests import restore_after_provision
from controlplane.tenants.snapshots.services import (
    snapshot_complete,
    snapshot_key,
    snapshots_expire,
    snapshots_follow,
)
from tests.support.assessments import assessment
from tests.support.people import ApiClient, Person

pytestmark = pytest.mark.django_db
Acme = tuple[Tenant, Operation]


@pytest.fixture(autouse=True)
def home(settings: Any, tmp_path: Path) -> Path:
    settings.FREEHOLD_HOME = tmp_path
    return tmp_path


@pytest.fixture
def active(acme: Acme) -> Tenant:
    """acme as after its provisioning."""
    tenant, operation = acme
    Operation.objects.filter(pk=operation.pk).update(state=operation_states.SUCCEEDED)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="active", activated_at=clock.now())
    tenant.refresh_from_db()
    return tenant


def taken(owner: Person, tenant: Tenant) -> Snapshot:
    """A complete snapshot, as a runner reports it, with its folder."""
    answer = owner.api().post(f"/tenants/{tenant.slug}/snapshot", {"reason": "before the import"})
    assert answer.status_code == 202
    operation = Operation.objects.get(pk=answer.json()["operation"]["id"])
    snapshot = Snapshot.objects.get(operation=operation)
    folder = snapshot_folder(tenant_id=tenant.id, snapshot_id=snapshot.id)
    folder.mkdir(parents=True)
    manifest = {
        "snapshot_id": str(snapshot.id), "tenant_id": str(tenant.id), "tenant": tenant.slug,
        "taken_at": "2026-11-21T12:00:00Z", "versions": {"runtime": "0.1.0"},
        "files": [{"name": "postgres.dump", "component": "postgres", "bytes": 7, "sha256": "0" * 64, "items": 3}],
    }  # fmt: skip
    report = {
        "snapshot": str(snapshot.id), "manifest": manifest, "bytes": 7,
        "manifest_sha256": hashlib.sha256(b"m").hexdigest(),
    }  # fmt: skip
    snapshot_complete(operation=operation, taken=report, now=clock.now())
    Operation.objects.filter(pk=operation.pk).update(state=operation_states.SUCCEEDED)
    snapshot.refresh_from_db()
    return snapshot


def test_a_snapshot_is_listed_shown_and_deleted_with_its_key_and_files(
    active: Tenant, owner: Person, teammate: Person, stranger: Person, django_capture_on_commit_callbacks: Any
) -> None:
    snapshot = taken(owner, active)
    path = f"/tenants/acme/snapshots/{snapshot.id}"
    for person in (owner, teammate):
        (row,) = person.api().get("/tenants/acme/snapshots").json()["results"]
        assert row == person.api().get(path).json()
        assert (row["state"], row["kind"], row["size_bytes"]) == ("complete", "manual", 7)
        assert "key" not in str(row)
    assert snapshot_key(snapshot) not in str(owner.api().get(path).json())
    assert stranger.api().get(path).status_code == 404
    assert stranger.api()("DELETE", path).status_code == 404
    assert teammate.api()("DELETE", path).status_code == 403
    assert ApiClient(None)("DELETE", path).status_code == 401
    snapshot.refresh_from_db()
    assert snapshot.state == "complete"
    with django_capture_on_commit_callbacks(execute=True):
        assert owner.api()("DELETE", path).json()["state"] == "deleted"
    snapshot.refresh_from_db()
    assert snapshot.sealed_key == ""
    assert not snapshot_folder(tenant_id=active.id, snapshot_id=snapshot.id).exists()
    assert owner.api()("DELETE", path).json()["code"] == "snapshot_gone"


def test_a_restore_takes_the_newest_or_the_named_one_and_no_strangers(
    active: Tenant, owner: Person, stranger: Person
) -> None:
    assert owner.api().post("/tenants/acme/restore").json()["code"] == "no_snapshot"
    first, second = taken(owner, active), taken(owner, active)
    newest = owner.api().post("/tenants/acme/restore").json()["operation"]
    assert newest["arguments"] == {"snapshot": str(second.id)}
    named = owner.api().post("/tenants/acme/restore", {"snapshot_id": str(first.id)}).json()["operation"]
    assert named["arguments"] == {"snapshot": str(first.id)}
    assert owner.api().post("/tenants/acme/restore", {"snapshot_id": str(uuid4())}).status_code == 404
    # A stranger's own tenant cannot get it either.
    body = {"slug": "theirs", "name": "T", "plan": "starter", "target": "local"}
    assert stranger.api().post("/tenants", {**body, "restore_from": str(first.id)}).status_code == 404
    assert not Tenant.objects.filter(slug="theirs").exists()
    # In use: neither a person nor the retention removes it.
    assert owner.api()("DELETE", f"/tenants/acme/snapshots/{first.id}").json()["code"] == "snapshot_in_use"
    assert snapshots_expire(now=clock.now() + timedelta(days=400)) == 0


def test_a_principal_limited_to_some_tenants_restores_no_other_tenants_snapshot(
    active: Tenant, owner: Person
) -> None:
    snapshot = taken(owner, active)
    body = {"slug": "globex", "name": "G", "plan": "starter", "target": "local"}
    owner.api().post("/tenants", body)
    other = Tenant.objects.get(slug="globex")
    Tenant.objects.filter(pk=other.pk).update(lifecycle="active")
    _, token = api_key_create(
        team_id=owner.team.id,
        name="limited",
        scopes=["admin"],
        tenant_ids=[other.id],
        actor="t",
        now=clock.now(),
    )
    limited = ApiClient(token)
    before = Operation.objects.count()
    refused = limited.post("/tenants/globex/restore", {"snapshot_id": str(snapshot.id)})
    assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
    assert limited.get(f"/tenants/acme/snapshots/{snapshot.id}").status_code == 404
    assert Operation.objects.count() == before
    # The same request by somebody who sees both.
    assert owner.api().post("/tenants/globex/restore", {"snapshot_id": str(snapshot.id)}).status_code == 202


def test_an_unfinished_snapshot_is_not_restored_and_follows_its_operation(
    active: Tenant, owner: Person
) -> None:
    operation_id = owner.api().post("/tenants/acme/snapshot").json()["operation"]["id"]
    operation = Operation.objects.get(pk=operation_id)
    snapshot = Snapshot.objects.get()
    wanted = {"snapshot_id": str(snapshot.id)}
    assert owner.api().post("/tenants/acme/restore", wanted).json()["code"] == "snapshot_not_complete"
    assert owner.api()("DELETE", f"/tenants/acme/snapshots/{snapshot.id}").json()["code"] == "snapshot_in_use"
    for state, expected in (("failed", "failed"), ("planning", "creating"), ("canceled", "failed")):
        operation.state = state
        snapshots_follow(operation=operation, now=clock.now())
        snapshot.refresh_from_db()
        assert snapshot.state == expected
    operation.state = "applying"
    job = data_job_build(operation=operation, scratch="/s")
    assert job is not None
    assert (job.verb, job.snapshot_id, job.key) == ("snapshot", snapshot.id, snapshot_key(snapshot))
    assert job.key not in repr(job)


def test_a_snapshot_removed_before_its_restore_began_is_told(active: Tenant, owner: Person) -> None:
    snapshot = taken(owner, active)
    owner.api().post("/tenants/acme/restore")
    operation = Operation.objects.get(kind="restore")
    Snapshot.objects.filter(pk=snapshot.pk).update(state=states.EXPIRED)
    with pytest.raises(Conflict) as gone:
        data_job_build(operation=operation, scratch="/s")
    assert gone.value.code == "snapshot_gone"


def test_the_retention_removes_what_is_due_and_what_killed_attempts_left(
    active: Tenant, owner: Person, home: Path, django_capture_on_commit_callbacks: Any
) -> None:
    due, kept = taken(owner, active), taken(owner, active)
    Snapshot.objects.filter(pk=due.pk).update(expires_at=clock.now())
    folder = snapshot_folder(tenant_id=active.id, snapshot_id=kept.id)
    partial = folder.with_name(f"{folder.name}.partial")
    partial.mkdir()
    orphan = home / "snapshots" / str(active.id) / str(uuid4())
    orphan.mkdir()
    with django_capture_on_commit_callbacks(execute=True):
        assert snapshots_expire(now=clock.now()) == 1
    due.refresh_from_db()
    assert (due.state, due.sealed_key) == ("expired", "")
    assert not partial.exists()
    # An orphan may be a transaction's that has not committed: it is left for an hour.
    assert sorted(path for path in folder.parent.iterdir()) == sorted([folder, orphan])
    snapshots_expire(now=clock.now() + timedelta(hours=2))
    assert list(folder.parent.iterdir()) == [folder]


def test_a_final_snapshot_is_taken_unless_there_is_a_reason_not_to(active: Tenant, owner: Person) -> None:
    answer = owner.api()("DELETE", "/tenants/acme", {"skip_final_snapshot": True, "reason": "a test tenant"})
    operation = Operation.objects.get(pk=answer.json()["operation"]["id"])
    assert (operation.arguments, operation.reason) == ({"skip_final_snapshot": True}, "a test tenant")

    def skipped() -> str:
        job = data_job_build(operation=operation, scratch="/s")
        assert job is not None
        assert job.verb == "final"
        return job.skip_reason

    assert "asked for it" in skipped()
    operation.arguments = {}
    assert skipped() == ""
    final = Snapshot.objects.get(kind="final")
    assert (final.operation_id, final.state) == (operation.id, "creating")
    # A second attempt uses the same row; a complete one is not taken again.
    assert skipped() == ""
    Snapshot.objects.update(state=states.COMPLETE)
    assert str(final.id) in skipped()
    Snapshot.objects.all().delete()
    Tenant.objects.update(activated_at=None)
    assert "never became active" in skipped()


def test_a_plan_may_insist_on_the_final_snapshot(active: Tenant, owner: Person) -> None:
    Tenant.objects.update(plan="enterprise", deletion_protection=False)
    _, token = api_key_create(
        team_id=owner.team.id,
        name="op",
        scopes=["tenants:write"],
        tenant_ids=None,
        actor="t",
        now=clock.now(),
    )
    body = {"skip_final_snapshot": True}
    refused = ApiClient(token)("DELETE", "/tenants/acme", body)
    assert (refused.status_code, refused.json()["code"]) == (403, "final_snapshot_required")
    assert not Operation.objects.filter(kind="deprovision").exists()
    # An administrator may: a tenant whose stores are broken must be deletable.
    _, token = api_key_create(
        team_id=owner.team.id, name="adm", scopes=["admin"], tenant_ids=None, actor="t", now=clock.now()
    )
    assert ApiClient(token)("DELETE", "/tenants/acme", body).status_code == 202


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [({}, False), ({"labels": {"environment": "production"}}, True), ({"plan": "enterprise"}, True)],
)
def test_a_production_tenants_deletion_wants_a_second_person(
    active: Tenant, owner: Person, fields: dict[str, Any], wanted: bool
) -> None:
    Tenant.objects.update(**fields)
    body = owner.api()("DELETE", "/tenants/acme").json()["operation"]
    assert body["second_person"] is wanted
    reason = approval_reason(
        kind="deprovision",
        rule="never",
        requested=False,
        second_person=body["second_person"],
        assessment=assessment(),
        cost_limit=None,
    )
    assert (reason is not None) is wanted


def test_a_persons_keys_are_that_person(owner: Person, teammate: Person) -> None:
    now = clock.now()
    mine, _ = api_key_create(
        team_id=owner.team.id, name="k", scopes=["admin"], actor=owner.principal.actor, now=now
    )
    of_key, _ = api_key_create(
        team_id=owner.team.id, name="k2", scopes=["admin"], actor=f"key:{mine.prefix}", now=now
    )
    assert actor_person(actor=f"key:{of_key.prefix}") == owner.principal.actor
    assert actor_person(actor=teammate.principal.actor) != owner.principal.actor
    assert actor_person(actor="key:unknown") == "key:unknown"


def test_a_tenant_made_from_a_snapshot_gets_one_restore_once_it_is_active(
    active: Tenant, owner: Person
) -> None:
    snapshot = taken(owner, active)
    body = {"slug": "globex", "name": "G", "plan": "enterprise", "target": "local"}
    created = owner.api().post("/tenants", {**body, "restore_from": str(snapshot.id)})
    assert created.status_code == 202
    tenant = Tenant.objects.get(slug="globex")
    assert owner.api()("DELETE", f"/tenants/acme/snapshots/{snapshot.id}").json()["code"] == "snapshot_in_use"
    restore_after_provision(tenant=tenant, actor="user:x", now=clock.now())
    tenant.refresh_from_db()
    restore_after_provision(tenant=tenant, actor="user:x", now=clock.now())
    operation = Operation.objects.get(kind="restore")
    assert (operation.tenant_id, operation.approval_rule) == (tenant.id, "never")
    assert operation.arguments == {"snapshot": str(snapshot.id)}
