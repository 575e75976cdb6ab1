"""The queue: order by class without starvation, limits by target, true positions, an end to waiting."""

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.operations import leases, states
from controlplane.operations.models import Operation
from controlplane.operations.queue import queue_expire, queue_position, queue_ranked, waiting_for
from controlplane.operations.reaper import operations_reap
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create
from tests.support.people import Person, person_make

Acme = tuple[Tenant, Operation]


def queued(owner: Person, slug: str, priority: int, waited: timedelta = timedelta()) -> Operation:
    _, operation = tenant_create(
        principal=owner.principal, slug=slug, name=slug, plan="starter", target="local", now=clock.now()
    )
    Operation.objects.filter(pk=operation.pk).update(priority=priority, queued_at=clock.now() - waited)
    operation.refresh_from_db()
    return operation


def order() -> list[str]:
    return [operation.tenant.slug for operation in queue_ranked()]


@pytest.mark.django_db
def test_a_person_goes_before_a_rollout_the_pool_and_a_scan(owner: Person) -> None:
    scan = queued(owner, "scan", states.PRIORITY_BACKGROUND, timedelta(minutes=9))
    queued(owner, "pool", states.PRIORITY_POOL, timedelta(minutes=6))
    queued(owner, "rollout", states.PRIORITY_ROLLOUT, timedelta(minutes=3))
    queued(owner, "person", states.PRIORITY_PERSON)
    assert order() == ["person", "rollout", "pool", "scan"]
    assert queue_position(scan) == 4


@pytest.mark.django_db
def test_nothing_starves(owner: Person) -> None:
    queued(owner, "scan", states.PRIORITY_BACKGROUND, timedelta(minutes=31))
    for number in range(3):
        queued(owner, f"person-{number}", states.PRIORITY_PERSON, timedelta(seconds=number))
    assert order()[0] == "scan"


@pytest.mark.django_db
def test_what_was_taken_over_goes_first(owner: Person) -> None:
    lost = queued(owner, "lost", states.PRIORITY_BACKGROUND)
    claimed = leases.operation_claim(worker="dying", now=clock.now())
    assert claimed is not None
    queued(owner, "person", states.PRIORITY_PERSON, timedelta(minutes=5))
    Operation.objects.filter(pk=lost.pk).update(lease_expires_at=clock.now() - timedelta(seconds=1))
    assert operations_reap(now=clock.now()) == 1
    assert order() == ["lost", "person"]


@pytest.mark.django_db
def test_a_target_takes_no_more_than_its_limit(owner: Person, settings: Any) -> None:
    settings.FREEHOLD_TARGET_LIMITS = {"local": 1}
    queued(owner, "first", states.PRIORITY_PERSON, timedelta(seconds=2))
    second = queued(owner, "second", states.PRIORITY_PERSON)
    assert leases.operation_claim(worker="w", now=clock.now()) is not None
    assert leases.operation_claim(worker="w", now=clock.now()) is None
    assert waiting_for(second) == "a free slot on the target local (1 of 1 are busy)"
    settings.FREEHOLD_TARGET_LIMITS = {"aws": 1}
    assert leases.operation_claim(worker="w", now=clock.now()) is not None


def test_waiting_ends_with_the_reason_told(acme: Acme, settings: Any) -> None:
    tenant, operation = acme
    settings.FREEHOLD_QUEUE_DEADLINE_S = 60
    assert queue_expire(now=clock.now()) == 0
    assert queue_expire(now=clock.now() + timedelta(seconds=61)) == 1
    operation.refresh_from_db()
    tenant.refresh_from_db()
    assert operation.error is not None
    assert (operation.state, operation.error["code"]) == (states.FAILED, "queue_deadline")
    assert "waited for a worker" in operation.error["detail"]
    assert tenant.lifecycle == "failed"
    assert {step.state for step in operation.steps.all()} == {states.STEP_SKIPPED}


@pytest.mark.django_db(transaction=True)
@pytest.mark.timeout(120)
def test_fifty_requests_at_once_on_one_tenant_end_in_one_running_operation() -> None:
    """Through the API, as fifty impatient operators: each is queued or refused as documented, and none is a 500."""
    owner = person_make("r@example.com", team_create(name="R", actor="t", now=clock.now()), roles.OWNER)
    tenant, provision = tenant_create(
        principal=owner.principal, slug="acme", name="A", plan="starter", target="local", now=clock.now()
    )
    Tenant.objects.update(lifecycle="active")
    Operation.objects.filter(pk=provision.pk).update(state=states.SUCCEEDED)
    verbs = ("update", "preview", "refresh", "update", "delete")
    answers: list[tuple[int, str]] = []
    claimed: list[Operation] = []
    start = threading.Barrier(54)

    def ask(number: int) -> None:
        try:
            start.wait()
            verb = verbs[number % len(verbs)]
            if verb == "delete":
                response = owner.api()("DELETE", "/tenants/acme")
            else:
                response = owner.api().post(f"/tenants/acme/{verb}", {"reason": str(number)})
            answers.append((response.status_code, response.json().get("code", "")))
        finally:
            connection.close()

    def work() -> None:
        try:
            start.wait()
            for _ in range(20):
                operation = leases.operation_claim(worker="w", now=clock.now())
                if operation is not None:
                    claimed.append(operation)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    threads += [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    seen = Counter(answers)
    assert sum(seen.values()) == 50
    allowed = {(202, ""), (409, "tenant_state"), (409, "already_deleting"), (429, "rate_limited")}
    assert set(seen) <= allowed, seen
    assert Operation.objects.filter(tenant=tenant, state__in=states.RUNNING).count() <= 1
    assert len(claimed) == Operation.objects.filter(tenant=tenant, state__in=states.RUNNING).count()
    accepted = sum(count for (status, _), count in seen.items() if status == 202)
    assert Operation.objects.filter(tenant=tenant).count() == accepted + 1
