"""Suspend and resume: the moves of the lifecycle, what the spec says, and who may ask."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.core.errors import Conflict
from controlplane.operations import leases, states, transitions
from controlplane.operations.models import Operation
from controlplane.operations.services import operation_cancel
from controlplane.tenants.component_health import looks_note
from controlplane.tenants.looks import Look
from controlplane.tenants.models import HealthChange, Tenant
from controlplane.tenants.services import tenant_credentials_issue
from controlplane.tenants.states import next_lifecycle, power_off
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
ERROR = {"code": "pulumi_failed", "title": "x", "detail": "", "hint": ""}


@pytest.fixture
def active(acme: Acme) -> Tenant:
    tenant, operation = acme
    Operation.objects.filter(pk=operation.pk).update(state=states.SUCCEEDED)
    Tenant.objects.filter(pk=tenant.pk).update(lifecycle="active", health="healthy", runtime_url="http://h")
    tenant.refresh_from_db()
    return tenant


def ask(owner: Person, verb: str, **body: Any) -> Any:
    return owner.api().post(f"/tenants/acme/{verb}", body)


def claim() -> Operation:
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    return operation


def begin(operation: Operation) -> None:
    assert transitions.operation_apply_begin(operation=operation, now=clock.now())


@pytest.mark.parametrize(
    ("lifecycle", "kind", "happened", "halfway", "following"),
    [
        ("active", "suspend", "succeeded", False, "suspended"),
        ("failed", "suspend", "succeeded", False, "suspended"),
        ("active", "suspend", "failed", False, None),
        ("active", "suspend", "failed", True, "failed"),
        ("active", "suspend", "canceled", True, "failed"),
        ("suspended", "suspend", "succeeded", False, None),
        ("suspended", "resume", "succeeded", False, "active"),
        ("failed", "resume", "succeeded", False, "active"),
        ("suspended", "resume", "canceled", False, None),
        ("suspended", "resume", "failed", True, "failed"),
        ("suspended", "update", "succeeded", False, None),
        ("suspended", "update", "failed", True, None),
        ("suspended", "deprovision", "started", False, None),
        ("suspended", "deprovision", "applying", False, "deprovisioning"),
        ("deprovisioning", "resume", "succeeded", False, None),
    ],
)
def test_moves(lifecycle: str, kind: str, happened: str, halfway: bool, following: str | None) -> None:
    assert next_lifecycle(lifecycle, kind=kind, happened=happened, halfway=halfway) == following


@pytest.mark.parametrize(
    ("lifecycle", "kind", "off"),
    [
        ("active", "suspend", True),
        ("failed", "suspend", True),
        ("suspended", "update", True),
        ("suspended", "preview", True),
        ("suspended", "refresh", True),
        ("suspended", "resume", False),
        ("failed", "resume", False),
        ("failed", "update", False),
        ("active", "update", False),
    ],
)
def test_only_a_resume_ends_a_suspension(lifecycle: str, kind: str, off: bool) -> None:
    assert power_off(lifecycle, kind=kind) is off


def test_a_suspend_is_queued_with_a_spec_at_rest_and_what_follows_keeps_it(
    active: Tenant, owner: Person
) -> None:
    answer = ask(owner, "suspend", reason="unpaid")
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert (operation["kind"], operation["state"], operation["reason"]) == ("suspend", "queued", "unpaid")
    assert answer.headers["Location"] == f"/api/v1/operations/{operation['id']}"
    claimed = claim()
    assert StackSpec.model_validate(claimed.spec).suspended
    begin(claimed)
    assert transitions.operation_succeed(operation=claimed, now=clock.now())
    active.refresh_from_db()
    assert (active.lifecycle, active.health, active.health_checks) == ("suspended", "unknown", [])
    assert HealthChange.objects.get(tenant=active).health == "unknown"
    for verb, off in (("update", True), ("preview", True), ("refresh", True), ("resume", False)):
        assert ask(owner, verb).status_code == 202
        found = claim()
        assert StackSpec.model_validate(found.spec).suspended is off, verb
        Operation.objects.filter(pk=found.pk).update(state=states.CANCELED)


@pytest.mark.parametrize("ends", ["failed", "canceled"])
def test_one_that_ended_halfway_leaves_failed_with_every_way_on(
    active: Tenant, owner: Person, ends: str
) -> None:
    ask(owner, "suspend")
    operation = claim()
    begin(operation)
    if ends == "failed":
        transitions.operation_fail(operation=operation, error=ERROR, now=clock.now())
    else:
        transitions.operation_canceled(operation=operation, now=clock.now())
    active.refresh_from_db()
    assert active.lifecycle == "failed"
    assert owner.api().post(f"/operations/{operation.id}/retry").status_code == 202
    operation_cancel(operation=operation, actor="t", now=clock.now())
    active.refresh_from_db()
    assert active.lifecycle == "failed", "the retry changed nothing, but the first attempt had"
    for verb in ("suspend", "resume", "update"):
        assert ask(owner, verb).status_code == 202


def test_one_that_changed_nothing_leaves_everything(active: Tenant, owner: Person) -> None:
    ask(owner, "suspend")
    transitions.operation_fail(operation=claim(), error=ERROR, now=clock.now())
    ask(owner, "suspend")
    operation_cancel(operation=Operation.objects.get(state="queued"), actor="t", now=clock.now())
    ask(owner, "suspend")
    stale = claim()
    begin(stale)
    transitions.operation_fail(operation=stale, error={**ERROR, "code": "plan_stale"}, now=clock.now())
    active.refresh_from_db()
    assert (active.lifecycle, active.health) == ("active", "healthy")


def test_a_lost_worker_counts_as_halfway(active: Tenant, owner: Person) -> None:
    ask(owner, "suspend")
    operation = claim()
    begin(operation)
    Operation.objects.filter(pk=operation.pk).update(lease_expires_at=clock.now() - timedelta(hours=1))
    assert leases.operation_take_over(operation=operation, ended=1, fenced=False, now=clock.now())
    operation_cancel(operation=operation, actor="t", now=clock.now())
    active.refresh_from_db()
    assert active.lifecycle == "failed"


def test_what_the_lifecycle_does_not_allow_is_refused_with_the_way_on(active: Tenant, owner: Person) -> None:
    refused = ask(owner, "resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_state")
    assert "runs already" in refused.json()["hint"]
    Tenant.objects.update(lifecycle="suspended")
    refused = ask(owner, "suspend")
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_state")
    assert "rests already" in refused.json()["hint"]
    assert Operation.objects.filter(state="queued").count() == 0


def test_a_suspended_tenant_issues_no_keys_and_says_why(active: Tenant, owner: Person) -> None:
    Tenant.objects.update(lifecycle="suspended")
    active.refresh_from_db()
    with pytest.raises(Conflict, match="is suspended, not active") as refusal:
        tenant_credentials_issue(principal=owner.principal, tenant=active, name="x", now=clock.now())
    assert "freehold tenants resume acme" in refusal.value.hint


def test_nobody_calls_a_suspended_tenant_ill(active: Tenant) -> None:
    Tenant.objects.update(lifecycle="suspended", health="unknown")
    bad = [Look("runtime", "unhealthy", "no answer")]
    assert not any(looks_note(tenant_id=active.pk, looks=bad, now=clock.now()) for _ in range(4))
    active.refresh_from_db()
    assert active.health == "unknown"


def test_approval_holds_for_the_verbs_too(active: Tenant, owner: Person) -> None:
    answer = ask(owner, "suspend", requires_approval=True)
    assert Operation.objects.get(pk=answer.json()["operation"]["id"]).requires_approval
