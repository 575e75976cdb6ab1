"""What is otherwise for tenants in clouds: no snapshots of ours, stores that only the runtime sees, and secrets."""

import json
from typing import Any

import pytest

from contracts.redaction import Redactor
from controlplane.core import clock
from controlplane.core.data_keys import data_key_rotate
from controlplane.core.errors import Conflict
from controlplane.core.renewal import sealed_values_renew
from controlplane.operations.models import Operation
from controlplane.tenants import rotation, states
from controlplane.tenants.component_health import endpoints_of
from controlplane.tenants.lifecycle import TenantSubject
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.probing import looks_take
from controlplane.tenants.services import tenant_create, tenant_delete
from controlplane.tenants.snapshots.jobs import data_job_build
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("clouds")


def active(owner: Person, target: str, slug: str = "acme") -> Tenant:
    tenant, operation = tenant_create(
        principal=owner.principal, slug=slug, name=slug, plan="starter", target=target, now=clock.now()
    )
    Operation.objects.filter(pk=operation.pk).update(state="succeeded")
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle=states.ACTIVE, activated_at=clock.now())
    tenant.refresh_from_db()
    return tenant


def seed(tenant: Tenant) -> str:
    found = TenantSubject().secrets(operation=Operation.objects.filter(tenant=tenant)[0]).password_seed
    assert found is not None
    return found


@pytest.mark.parametrize("target", ["aws", "kubernetes"])
def test_snapshots_and_restores_are_refused_before_anything_begins(owner: Person, target: str) -> None:
    active(owner, target)
    for verb in ("snapshot", "restore"):
        answer = owner.api().post(f"/tenants/acme/{verb}", {})
        assert (answer.status_code, answer.json()["code"]) == (409, "not_supported_on_target")
        assert target in answer.json()["detail"]
    assert Operation.objects.count() == 1
    assert not Snapshot.objects.exists()


def test_a_tenant_in_a_cloud_is_not_made_from_a_snapshot(owner: Person) -> None:
    local = active(owner, "local", "source")
    owner.api().post("/tenants/source/snapshot", {})
    Snapshot.objects.update(state="complete")
    body = {"slug": "copy", "name": "C", "plan": "starter", "restore_from": str(Snapshot.objects.get().id)}
    refused = owner.api().post("/tenants", {**body, "target": "aws"})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_supported_on_target")
    assert list(Tenant.objects.all()) == [local]


def test_the_deletion_in_aws_says_whose_the_final_snapshot_is(owner: Person) -> None:
    tenant = active(owner, "aws")
    operation = tenant_delete(principal=owner.principal, tenant=tenant, now=clock.now())
    job = data_job_build(operation=operation, scratch="/s")
    assert job is not None
    assert (job.settle, job.snapshot_id) == (False, None)
    assert "RDS takes a final snapshot of Postgres" in job.skip_reason
    assert "not fetched on this target" in job.unsettled_reason
    assert not Snapshot.objects.exists()


def test_a_deletion_in_a_cluster_wants_to_hear_that_nothing_is_kept(owner: Person) -> None:
    tenant = active(owner, "kubernetes")
    with pytest.raises(Conflict) as raised:
        tenant_delete(principal=owner.principal, tenant=tenant, now=clock.now())
    assert raised.value.code == "not_supported_on_target"
    assert "skip_final_snapshot" in raised.value.hint
    operation = tenant_delete(
        principal=owner.principal, tenant=tenant, now=clock.now(), skip_final_snapshot=True
    )
    job = data_job_build(operation=operation, scratch="/s")
    assert job is not None
    assert "asked for it" in job.skip_reason
    # One that never held data has nothing to lose.
    young, _ = tenant_create(
        principal=owner.principal,
        slug="young",
        name="Y",
        plan="starter",
        target="kubernetes",
        now=clock.now(),
    )
    Tenant.objects.filter(pk=young.pk).update(lifecycle=states.FAILED)
    Operation.objects.filter(tenant=young).update(state="failed")
    assert tenant_delete(principal=owner.principal, tenant=young, now=clock.now()).kind == "deprovision"


def test_nobody_looks_at_stores_or_gpus_that_only_the_tenants_network_reaches(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = active(owner, "aws")

    class FakeStack:
        secret_outputs = "never opened"
        outputs = {"billable": [{"meter": "gpu_hours", "resource": "i-1"}]}

    endpoints = endpoints_of(tenant, FakeStack())  # type: ignore[arg-type]
    assert endpoints.private
    assert endpoints.postgres_url == ""
    looks = {look.component: look.health for look in looks_take([endpoints])[tenant.pk]}
    assert looks == dict.fromkeys(("postgres", "vector_store", "redis"), states.UNKNOWN)


def test_the_password_seed_is_the_tenants_for_life_and_nobody_elses(owner: Person) -> None:
    tenant, other = active(owner, "aws"), active(owner, "aws", "other")
    first = seed(tenant)
    assert len(first) >= 32
    assert seed(other) != first
    answer = owner.api().post("/tenants/acme/rotate-credentials", {})
    assert answer.status_code == 202
    data_key_rotate(owner=tenant.pk, actor="t", now=clock.now())
    while sealed_values_renew(limit=100).done:
        pass
    tenant.refresh_from_db()
    assert (seed(tenant), tenant.credentials) == (first, 2)


def test_the_password_seed_is_stored_sealed_and_shown_nowhere(owner: Person, capsys: Any) -> None:
    tenant = active(owner, "aws")
    secret = seed(tenant)
    rows = [*Tenant.objects.values(), *Operation.objects.values("spec", "arguments", "error")]
    assert secret not in json.dumps(rows, default=str)
    secrets = TenantSubject().secrets(operation=Operation.objects.get(tenant=tenant))
    assert secret not in repr(secrets)
    # What the runner hands its redactor.
    assert secret not in Redactor([*secrets.model_dump().values()]).text(f"said: {secret}")
    assert secret not in capsys.readouterr().err


def test_a_tenant_of_an_earlier_release_gets_its_seed_with_its_first_rotation(owner: Person) -> None:
    tenant = active(owner, "local")
    sealed = rotation.credentials_read(tenant)
    del sealed["password_seed"]
    rotation._seal(tenant, sealed)
    tenant.save()
    operation = Operation.objects.get(tenant=tenant)
    assert TenantSubject().secrets(operation=operation).password_seed is None
    owner.api().post("/tenants/acme/rotate-credentials", {})
    assert seed(Tenant.objects.get()) == seed(Tenant.objects.get())
