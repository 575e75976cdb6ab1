"""Renewed credentials stand beside the old ones until an operation has brought them to the stack."""

from typing import Any

from contracts.stack import StackSpec
from controlplane.accounts.models import ApiKey
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations import leases, states, transitions
from controlplane.operations.models import Operation
from controlplane.operations.subject import operation_subject
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import EARLIER, credentials_read
from tests.support.people import Person

Acme = tuple[Tenant, Operation]
ERROR = {"code": "pulumi_failed", "title": "x", "detail": "", "hint": ""}


def rotate(owner: Person) -> Any:
    return owner.api().post("/tenants/acme/rotate-credentials", {"reason": "leaked"})


def claim() -> Operation:
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    return operation


def live_usage_keys() -> set[Any]:
    return set(ApiKey.objects.filter(name="usage of acme", revoked_at=None).values_list("pk", flat=True))


def test_a_rotation_makes_new_ones_that_stay_the_same_over_attempts(active: Tenant, owner: Person) -> None:
    old, old_key = credentials_read(active), active.usage_key_id
    answer = rotate(owner)
    assert (answer.status_code, answer.json()["operation"]["kind"]) == (202, "rotate_credentials")
    active.refresh_from_db()
    new = credentials_read(active)
    assert new["usage_token"] != old["usage_token"]
    assert new[EARLIER] == [old["runtime_admin_key"]]
    assert live_usage_keys() == {old_key, active.usage_key_id}
    assert not [s for s in (new["usage_token"], new["runtime_admin_key"]) if s in answer.content.decode()]

    operation = claim()
    assert StackSpec.model_validate(operation.spec).credentials == 2
    first = operation_subject().secrets(operation=operation)
    transitions.operation_fail(operation=operation, error=ERROR, now=clock.now())
    active.refresh_from_db()
    assert (active.lifecycle, len(live_usage_keys())) == ("active", 2)
    owner.api().post(f"/operations/{operation.id}/retry")
    again = claim()
    assert operation_subject().secrets(operation=again) == first
    assert transitions.operation_apply_begin(operation=again, now=clock.now())
    assert transitions.operation_succeed(operation=again, now=clock.now())

    active.refresh_from_db()
    assert live_usage_keys() == {active.usage_key_id}
    assert EARLIER not in credentials_read(active)
    assert active.retiring_usage_key_ids == []
    assert AuditEvent.objects.filter(action="tenant.credentials_retired").count() == 1


def test_what_brought_an_earlier_generation_ends_nothing(active: Tenant, owner: Person) -> None:
    owner.api().post("/tenants/acme/update", {})
    running = claim()
    rotate(owner)
    assert transitions.operation_apply_begin(operation=running, now=clock.now())
    assert transitions.operation_succeed(operation=running, now=clock.now())
    assert len(live_usage_keys()) == 2
    # Any later operation that applies the newest generation ends the others.
    Operation.objects.filter(state="queued").update(state=states.CANCELED)
    owner.api().post("/tenants/acme/update", {})
    later = claim()
    assert transitions.operation_apply_begin(operation=later, now=clock.now())
    assert transitions.operation_succeed(operation=later, now=clock.now())
    assert len(live_usage_keys()) == 1


def test_two_rotations_in_a_row_leave_one(active: Tenant, owner: Person) -> None:
    rotate(owner)
    rotate(owner)
    active.refresh_from_db()
    assert (active.credentials, len(credentials_read(active)[EARLIER]), len(live_usage_keys())) == (3, 2, 3)
    operation = claim()
    assert StackSpec.model_validate(operation.spec).credentials == 3
    assert transitions.operation_apply_begin(operation=operation, now=clock.now())
    assert transitions.operation_succeed(operation=operation, now=clock.now())
    assert len(live_usage_keys()) == 1


def test_a_suspended_tenant_says_what_to_do_first_and_nothing_changed(active: Tenant, owner: Person) -> None:
    Tenant.objects.update(lifecycle="suspended")
    refused = rotate(owner)
    assert (refused.status_code, refused.json()["code"]) == (409, "tenant_state")
    assert "Resume it first" in refused.json()["hint"]
    active.refresh_from_db()
    assert (active.credentials, len(live_usage_keys())) == (1, 1)
