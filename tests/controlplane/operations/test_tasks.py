"""Celery's part of operations: what a worker that was told to stop leaves to others."""

import threading

import pytest
from celery.signals import worker_shutting_down

from controlplane.core import clock
from controlplane.operations import states, tasks
from controlplane.operations.leases import operation_claim
from controlplane.operations.models import Operation
from controlplane.tenants.services import tenant_create
from tests.support.people import Person


@pytest.mark.django_db
def test_a_worker_that_stops_ends_what_it_began_and_begins_nothing_more(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    for slug in ("begun", "left"):
        tenant_create(
            principal=owner.principal, slug=slug, name=slug, plan="starter", target="local", now=clock.now()
        )
    carried_out: list[str] = []

    def told_to_stop_meanwhile(operation: Operation) -> None:
        worker_shutting_down.send(sender="worker@here", sig="SIGTERM", how="Warm", exitcode=0)
        carried_out.append(operation.tenant.slug)

    monkeypatch.setattr(tasks, "_stopping", threading.Event())
    monkeypatch.setattr(tasks, "operation_execute", told_to_stop_meanwhile)
    assert tasks.operations_work_task() == 1
    assert carried_out == ["begun"]
    assert tasks.operations_work_task() == 0
    left = operation_claim(worker="another", now=clock.now())
    assert left is not None
    assert (left.tenant.slug, left.state) == ("left", states.PLANNING)
