"""A tenant keeps its release of the runtime until somebody moves it; only known ones may be asked for."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations import leases, transitions
from controlplane.operations.models import Operation, Stack
from controlplane.operations.record import stack_record_partial
from controlplane.tenants.models import Tenant
from controlplane.tenants.releases import release_shipped, releases_known
from controlplane.tenants.stack_spec import stack_spec_of
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
OLD = "0.0.9"


def install(home: Path, release: str) -> Path:
    python = home / "runtimes" / release / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch(mode=0o755)
    return python


@pytest.fixture
def home(settings: Any, tmp_path: Path) -> Path:
    settings.FREEHOLD_HOME = tmp_path
    return tmp_path


@pytest.fixture
def active(home: Path, active: Tenant) -> Tenant:
    return active


def test_known_are_the_shipped_one_and_what_is_installed_newest_first(home: Path) -> None:
    for release in ("0.0.9", "0.0.10", "0.0.9-rc1", release_shipped(), ".hidden", "../0.1"):
        install(home, release)
    (home / "runtimes" / "0.0.8").mkdir()
    assert releases_known() == [release_shipped(), "0.0.10", "0.0.9", "0.0.9-rc1"]


def test_a_new_tenant_is_pinned_and_an_update_keeps_that(
    active: Tenant, owner: Person, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    assert active.runtime_version == release_shipped()
    shipped, python = release_shipped(), install(home, release_shipped())
    monkeypatch.setattr("controlplane.tenants.releases.version", lambda _: "9.9.9")
    answer = owner.api().post("/tenants/acme/update", {})
    runtime = StackSpec.model_validate(Operation.objects.get(kind="update").spec).runtime
    assert answer.status_code == 202
    assert (runtime.version, runtime.python) == (shipped, str(python)), "not the newer one of our own"


def test_an_upgrade_goes_to_the_shipped_release_and_a_named_one_where_asked(
    active: Tenant, owner: Person, home: Path
) -> None:
    python = install(home, OLD)
    answer = owner.api().post("/tenants/acme/upgrade", {"version": OLD, "reason": "as before"})
    assert (answer.status_code, answer.json()["operation"]["kind"]) == (202, "upgrade")
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    runtime = StackSpec.model_validate(operation.spec).runtime
    assert (runtime.version, runtime.python) == (OLD, str(python))
    assert owner.api().get("/tenants/acme").json()["runtime_version"] == OLD
    audit = AuditEvent.objects.filter(action="tenant.updated").latest("at").data
    assert audit["after"] == {"runtime_version": OLD}

    assert transitions.operation_apply_begin(operation=operation, now=clock.now())
    assert transitions.operation_succeed(operation=operation, now=clock.now())
    owner.api().post("/tenants/acme/upgrade", {})
    active.refresh_from_db()
    runtime = stack_spec_of(active, kind="upgrade").runtime
    assert (runtime.version, runtime.python) == (release_shipped(), None)


@pytest.mark.parametrize("version", ["7.7.7", "..", "../../etc", "0.0.8", ""])
def test_what_is_not_known_is_refused_by_naming_what_is(
    active: Tenant, owner: Person, home: Path, version: str
) -> None:
    install(home, OLD)
    refused = [
        owner.api().post("/tenants/acme/upgrade", {"version": version}),
        owner.api()("PATCH", "/tenants/acme", {"runtime_version": version}),
    ]
    assert [answer.status_code for answer in refused] == [422, 422]
    if version:
        (problem,) = refused[0].json()["errors"]
        assert problem == {"pointer": "/version", "detail": f"must be one of {release_shipped()}, {OLD}"}
        assert refused[1].json()["errors"][0]["pointer"] == "/runtime_version"
    active.refresh_from_db()
    assert active.runtime_version == release_shipped()
    assert not Operation.objects.filter(kind__in=("upgrade", "update")).exists()


def test_a_version_belongs_to_an_upgrade_alone(active: Tenant, owner: Person) -> None:
    refused = owner.api().post("/tenants/acme/suspend", {"version": release_shipped()})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/version")
    assert not Operation.objects.filter(kind="suspend").exists()


def test_a_patch_moves_the_release_by_an_update(active: Tenant, owner: Person, home: Path) -> None:
    install(home, OLD)
    before = owner.api().get("/tenants/acme").headers["ETag"]
    answer = owner.api()("PATCH", "/tenants/acme", {"runtime_version": OLD})
    assert (answer.status_code, answer.json()["operation"]["kind"]) == (202, "update")
    assert answer.json()["operation"]["reason"] == "runtime_version changed"
    assert answer.json()["tenant"]["runtime_version"] == OLD
    assert answer.headers["ETag"] != before


@pytest.mark.parametrize("verb", ["update", "rotate-credentials"])
def test_a_release_that_is_gone_is_told_before_anything_changes(
    active: Tenant, owner: Person, verb: str
) -> None:
    Tenant.objects.update(runtime_version=OLD)
    refused = owner.api().post(f"/tenants/acme/{verb}", {})
    assert (refused.status_code, refused.json()["code"]) == (409, "runtime_version_missing")
    assert "freehold tenants upgrade acme" in refused.json()["hint"]
    active.refresh_from_db()
    assert (active.credentials, Operation.objects.filter(state="queued").count()) == (1, 0)
    assert owner.api().post("/tenants/acme/suspend", {}).status_code == 202
    assert owner.api().post("/tenants/acme/upgrade", {}).status_code == 202


def test_a_suspended_tenant_is_upgraded_and_stays_suspended(
    active: Tenant, owner: Person, home: Path
) -> None:
    install(home, OLD)
    Tenant.objects.update(lifecycle="suspended")
    assert owner.api().post("/tenants/acme/upgrade", {"version": OLD}).status_code == 202
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    spec = StackSpec.model_validate(operation.spec)
    assert (spec.suspended, spec.runtime.version) == (True, OLD)
    assert transitions.operation_apply_begin(operation=operation, now=clock.now())
    assert transitions.operation_succeed(operation=operation, now=clock.now())
    active.refresh_from_db()
    assert active.lifecycle == "suspended"


def test_tenants_of_before_are_pinned_to_what_their_stack_runs(active: Tenant) -> None:
    Tenant.objects.update(runtime_version="")
    Stack.objects.update_or_create(
        tenant=active, defaults={"name": "s", "program_version": OLD, "updated_at": clock.now()}
    )
    import_module("controlplane.tenants.migrations.0005_runtime_version").pin(apps, None)
    active.refresh_from_db()
    assert active.runtime_version == OLD


def test_an_upgrade_that_failed_halfway_tells_what_runs(active: Tenant) -> None:
    Stack.objects.update_or_create(
        tenant=active, defaults={"name": "s", "program_version": OLD, "updated_at": clock.now()}
    )
    operation = Operation.objects.get(tenant=active)
    for left, told in (({"billable": []}, OLD), ({"billable": [], "program_version": "0.1.0"}, "0.1.0")):
        stack_record_partial(operation=operation, state={"resources": [], "existing": left}, now=clock.now())
        assert Stack.objects.get(tenant=active).program_version == told
