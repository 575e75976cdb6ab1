"""Creating, claiming and moving operations: guards, races, retries."""

import threading
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection

from contracts.engine import PlanFacts
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.core.errors import Conflict, PermissionDenied
from controlplane.core.models import AuditEvent
from controlplane.operations import approvals, leases, services, states, transitions
from controlplane.operations.binding import binding_make
from controlplane.operations.leases import MAX_TAKEOVERS
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.reaper import operations_reap
from controlplane.operations.selectors import operation_queueing
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_delete
from tests.support.assessments import assessment
from tests.support.people import Person, person_make

Acme = tuple[Tenant, Operation]


def claim() -> Operation:
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    return operation


def test_a_new_operation_is_queued_with_its_steps_events_and_audit_row(acme: Acme) -> None:
    _, operation = acme
    assert operation.state == states.QUEUED
    assert [step.name for step in operation.steps.all()] == ["plan", "apply", "record", "verify"]
    assert OperationEvent.objects.filter(operation=operation).count() == 1
    assert AuditEvent.objects.filter(action="operation.provision.requested").count() == 1


def test_claiming_moves_the_operation_and_its_tenant(acme: Acme) -> None:
    tenant, operation = acme
    claimed = claim()
    tenant.refresh_from_db()
    assert (claimed.pk, claimed.state) == (operation.pk, states.PLANNING)
    assert (tenant.lifecycle, tenant.health) == ("provisioning", "progressing")
    assert leases.operation_claim(worker="other", now=clock.now()) is None


def test_a_stack_has_one_running_operation_whatever_is_queued(acme: Acme) -> None:
    tenant, operation = acme
    services.operation_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        kind=states.REFRESH,
        spec=_spec(operation),
        actor="test",
        now=clock.now(),
    )
    claim()
    assert leases.operation_claim(worker="other", now=clock.now()) is None


def test_the_database_refuses_a_second_running_operation(acme: Acme) -> None:
    tenant, operation = acme
    second = services.operation_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        kind=states.REFRESH,
        spec=_spec(operation),
        actor="test",
        now=clock.now(),
    )
    claim()
    with pytest.raises(IntegrityError, match="one_running_operation_per_stack"):
        Operation.objects.filter(pk=second.pk).update(state=states.APPLYING)


def test_the_global_limit_holds(acme: Acme, owner: Person, settings: Any) -> None:
    settings.FREEHOLD_MAX_OPERATIONS = 1
    _, waiting = tenant_create(
        principal=owner.principal,
        slug="globex",
        name="Globex",
        plan="starter",
        target="local",
        now=clock.now(),
    )
    claim()
    assert leases.operation_claim(worker="other", now=clock.now()) is None
    queueing = operation_queueing(operation=waiting)
    assert (queueing.position, queueing.waiting_for) == (1, "a free slot (1 of 1 are busy)")


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_one_claims_each_operation() -> None:
    from controlplane.accounts import roles
    from controlplane.accounts.services import team_create

    owner = person_make(
        "race@example.com", team_create(name="Race", actor="test", now=clock.now()), roles.OWNER
    )
    for number in range(3):
        tenant_create(
            principal=owner.principal,
            slug=f"race-{number}",
            name="Race",
            plan="starter",
            target="local",
            now=clock.now(),
        )
    claimed: list[Operation] = []
    start = threading.Barrier(8)

    def work() -> None:
        start.wait()
        try:
            while (operation := leases.operation_claim(worker="w", now=clock.now())) is not None:
                claimed.append(operation)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(claimed) == 3
    assert len({operation.pk for operation in claimed}) == 3


def test_a_move_by_another_lease_changes_nothing(acme: Acme) -> None:
    operation = claim()
    stale = Operation.objects.get(pk=operation.pk)
    stale.lease_token = uuid4()
    assert not transitions.operation_apply_begin(operation=stale, now=clock.now())
    assert not transitions.operation_succeed(operation=stale, now=clock.now())
    assert not leases.lease_renew(operation=stale)
    operation.refresh_from_db()
    assert operation.state == states.PLANNING


def test_failure_ends_the_steps_and_the_tenant_is_failed_not_provisioning(acme: Acme) -> None:
    tenant, _ = acme
    operation = claim()
    transitions.step_begin(operation=operation, name="plan", now=clock.now())
    error = {"code": "pulumi_failed", "title": "t", "detail": "d", "hint": "h", "resource": None}
    assert transitions.operation_fail(operation=operation, error=error, now=clock.now())
    tenant.refresh_from_db()
    assert tenant.lifecycle == "failed"
    assert [step.state for step in operation.steps.all()] == ["failed", "skipped", "skipped", "skipped"]


def test_retry_queues_the_next_attempt_and_the_tenant_goes_on(acme: Acme, owner: Person) -> None:
    tenant, _ = acme
    operation = claim()
    error = {"code": "x", "title": "t", "detail": "d", "hint": "h", "resource": None}
    transitions.operation_fail(operation=operation, error=error, now=clock.now())
    retried = services.operation_retry(operation=operation, actor="owner", now=clock.now())
    assert (retried.state, retried.attempt, retried.error) == (states.QUEUED, 2, None)
    with pytest.raises(Conflict, match="only a failed or canceled"):
        services.operation_retry(operation=operation, actor="owner", now=clock.now())
    claim()
    tenant.refresh_from_db()
    assert tenant.lifecycle == "provisioning"


def test_only_the_newest_operation_may_be_retried(acme: Acme) -> None:
    tenant, operation = acme
    services.operation_cancel(operation=operation, actor="owner", now=clock.now())
    services.operation_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        kind=states.DEPROVISION,
        spec=_spec(operation),
        actor="test",
        now=clock.now(),
    )
    with pytest.raises(Conflict, match="came after it"):
        services.operation_retry(operation=operation, actor="owner", now=clock.now())


def test_cancel_is_immediate_while_queued_and_a_request_while_running(acme: Acme) -> None:
    tenant, operation = acme
    services.operation_cancel(operation=operation, actor="owner", now=clock.now())
    tenant.refresh_from_db()
    assert (operation.state, tenant.lifecycle) == (states.CANCELED, "failed")
    services.operation_retry(operation=operation, actor="owner", now=clock.now())
    running = claim()
    services.operation_cancel(operation=running, actor="owner", now=clock.now())
    assert (running.state, running.cancel_requested_at is not None) == (states.PLANNING, True)
    with pytest.raises(Conflict):
        services.operation_cancel(operation=running, actor="owner", now=clock.now())


def park(now: datetime | None = None) -> Operation:
    """A claimed operation whose plan waits for a person."""
    operation, moment = claim(), now or clock.now()
    facts = PlanFacts(program_hash="p", state_hash="s", cli_version="1", sdk_version="1")
    binding = binding_make(
        plan_id=uuid4(),
        facts=facts,
        spec=_spec(operation),
        state_version=0,
        plan=[],
        assessment=assessment(),
        computed_at=moment,
        expires_at=moment + timedelta(hours=1),
    )
    transitions.operation_planned(
        operation=operation, summary={"create": 1}, plan=[], assessment=assessment(), binding=binding
    )
    assert transitions.operation_await_approval(operation=operation, reason="asked for", moved=[], now=moment)
    return operation


def test_approval_names_the_plan_and_requeues(acme: Acme) -> None:
    operation = park()
    waiting = operation_queueing(operation=operation).waiting_for
    assert waiting is not None
    assert waiting.startswith("a person's approval, until ")
    with pytest.raises(Conflict, match="was replaced by") as refused:
        approvals.operation_approve(operation=operation, actor="owner", plan_id=uuid4(), now=clock.now())
    assert refused.value.code == "plan_stale"
    plan_id = UUID(operation.binding["plan_id"])
    approved = approvals.operation_approve(
        operation=operation, actor="owner", plan_id=plan_id, now=clock.now()
    )
    assert (approved.state, approved.approved_by) == (states.QUEUED, "owner")
    assert approved.approved_binding == approved.binding
    with pytest.raises(Conflict):
        approvals.operation_reject(operation=operation, actor="owner", reason="", now=clock.now())


def test_an_expired_plan_cannot_be_approved_and_ends(acme: Acme) -> None:
    operation = park(clock.now() - timedelta(hours=2))
    with pytest.raises(Conflict, match="expired"):
        approvals.operation_approve(operation=operation, actor="owner", now=clock.now())
    assert approvals.approvals_expire(now=clock.now() - timedelta(hours=2)) == 0
    assert approvals.approvals_expire(now=clock.now()) == 1
    operation.refresh_from_db()
    assert operation.state == states.CANCELED


def test_the_requester_may_not_approve_where_two_persons_are_needed(acme: Acme, settings: Any) -> None:
    settings.FREEHOLD_TWO_PERSON_APPROVAL = True
    operation = park()
    with pytest.raises(PermissionDenied):
        approvals.operation_approve(operation=operation, actor=operation.requested_by, now=clock.now())
    assert Operation.objects.get().state == states.AWAITING_APPROVAL
    approvals.operation_approve(operation=operation, actor="user:tom@example.com", now=clock.now())


def lose_the_worker(operation: Operation) -> None:
    Operation.objects.filter(pk=operation.pk).update(lease_expires_at=clock.now() - timedelta(seconds=1))


def test_what_lost_its_worker_is_taken_over_and_nothing_else(acme: Acme) -> None:
    tenant, _ = acme
    operation = claim()
    assert operations_reap(now=clock.now()) == 0
    stale = Operation.objects.get(pk=operation.pk)
    lose_the_worker(operation)
    assert operations_reap(now=clock.now()) == 1
    operation.refresh_from_db()
    tenant.refresh_from_db()
    assert (operation.state, operation.attempt, operation.takeovers) == (states.QUEUED, 2, 1)
    assert (tenant.lifecycle, tenant.stack.lock_suspect) == ("provisioning", True)
    # The old holder wakes up: its lease is no longer one.
    assert not leases.lease_renew(operation=stale)
    assert not transitions.operation_succeed(operation=stale, now=clock.now())
    assert claim().pk == operation.pk


def test_takeovers_are_bounded_and_the_last_one_says_so(acme: Acme) -> None:
    for _ in range(MAX_TAKEOVERS):
        lose_the_worker(claim())
        assert operations_reap(now=clock.now()) == 1
    operation = claim()
    lose_the_worker(operation)
    assert operations_reap(now=clock.now()) == 1
    operation.refresh_from_db()
    assert operation.error is not None
    assert (operation.state, operation.error["code"]) == (states.FAILED, "executor_lost")


def test_a_run_on_another_host_is_not_taken_over(acme: Acme) -> None:
    operation = claim()
    Operation.objects.update(lease_owner="worker@elsewhere")
    lose_the_worker(operation)
    assert operations_reap(now=clock.now()) == 1
    operation.refresh_from_db()
    assert operation.error is not None
    assert (operation.state, "elsewhere" in operation.error["hint"]) == (states.FAILED, True)


def test_a_superseded_worker_stores_no_plan_and_ends_no_step(acme: Acme) -> None:
    claim()
    stale = Operation.objects.get()
    lose_the_worker(stale)
    operations_reap(now=clock.now())
    current = claim()
    transitions.step_begin(operation=current, name="plan", now=clock.now())
    facts = PlanFacts(program_hash="old", state_hash="", cli_version="1", sdk_version="1")
    binding = binding_make(
        plan_id=uuid4(),
        facts=facts,
        spec=_spec(stale),
        state_version=0,
        plan=[],
        assessment=assessment(),
        computed_at=clock.now(),
        expires_at=clock.now(),
    )
    assert not transitions.operation_planned(
        operation=stale, summary={"create": 9}, plan=[], assessment=assessment(), binding=binding
    )
    assert stale.lease_token != current.lease_token, "a refused write must not hand over the new lease"
    error = {"code": "x", "title": "old", "detail": "", "hint": "", "resource": None}
    assert not transitions.operation_fail(operation=stale, error=error, now=clock.now())
    assert current.steps.get(name="plan").state == "running"
    current.refresh_from_db()
    assert (current.state, current.binding) == (states.PLANNING, None)


def test_a_retried_deletion_respects_a_protection_set_since(acme: Acme, owner: Person) -> None:
    tenant, operation = acme
    services.operation_cancel(operation=operation, actor="owner", now=clock.now())
    deletion = tenant_delete(principal=owner.principal, tenant=tenant, now=clock.now())
    services.operation_cancel(operation=deletion, actor="owner", now=clock.now())
    Tenant.objects.update(deletion_protection=True)
    with pytest.raises(Conflict) as refused:
        services.operation_retry(operation=deletion, actor="owner", now=clock.now())
    assert refused.value.code == "deletion_protected"
    assert Operation.objects.get(pk=deletion.pk).state == states.CANCELED


def test_a_lost_operation_that_was_to_be_canceled_ends_canceled(acme: Acme) -> None:
    operation = claim()
    services.operation_cancel(operation=operation, actor="owner", now=clock.now())
    lose_the_worker(operation)
    assert operations_reap(now=clock.now()) == 1
    operation.refresh_from_db()
    assert operation.state == states.CANCELED


def _spec(operation: Operation) -> StackSpec:
    return StackSpec.model_validate(operation.spec)
