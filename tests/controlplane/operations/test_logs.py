"""Logs of operations: read as a text by those who may, counted by step, kept for a time and no longer."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.test import Client

from controlplane.core import clock
from controlplane.operations import transitions
from controlplane.operations.events import events_append
from controlplane.operations.leases import operation_claim
from controlplane.operations.logs import operation_log_path, operation_logs_prune
from controlplane.operations.models import Operation, OperationEvent
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.support.people import Person

NOW = clock.now()


@pytest.fixture
def failed(acme: tuple[Tenant, Operation], settings: Any, tmp_path: Path) -> Operation:
    """One that failed while applying, with a file of its runner's output that quotes a secret."""
    settings.FREEHOLD_HOME = tmp_path
    claimed = operation_claim(worker="test", now=NOW)
    assert claimed is not None
    transitions.step_begin(operation=claimed, name="plan", now=NOW)
    said = [
        ("resource", {"op": "create", "state": "planned", "type": "t", "name": "a", "phase": "preview"}),
        ("resource", {"op": "same", "state": "planned", "type": "t", "name": "b", "phase": "preview"}),
    ]
    events_append(operation_id=claimed.id, at=NOW, events=said)
    transitions.step_end(operation=claimed, name="plan", detail="1 to create", now=NOW)
    at = NOW + timedelta(seconds=2)
    transitions.operation_apply_begin(operation=claimed, now=at)
    transitions.step_begin(operation=claimed, name="apply", now=at)
    said = [
        ("resource", {"op": "create", "state": "started", "type": "t", "name": "a", "phase": "up"}),
        ("resource", {"op": "create", "state": "failed", "type": "t", "name": "a", "phase": "up"}),
        ("diagnostic", {"severity": "error", "message": "port 1 is taken", "urn": "", "phase": "up"}),
        ("diagnostic", {"severity": "warning", "message": "odd", "urn": "", "phase": "up"}),
    ]
    events_append(operation_id=claimed.id, at=at, events=said)
    error = {"code": "port_taken", "title": "It failed", "detail": "port 1", "hint": "Retry: ID"}
    assert transitions.operation_fail(operation=claimed, error=error, now=at + timedelta(seconds=1))
    path = operation_log_path(claimed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"panic: with {django_settings.SECRET_KEY}\n")
    return Operation.objects.get(pk=claimed.pk)


def test_the_log_reads_from_the_request_to_the_runners_own_words(owner: Person, failed: Operation) -> None:
    answer = owner.api().get(f"/operations/{failed.id}/log")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"acme-provision-{failed.id}.log" in answer.headers["Content-Disposition"]
    text = answer.content.decode()
    for words in (
        f"provision of acme, operation {failed.id}, failed",
        "resource preview create planned t a",
        "step plan succeeded 1 to create",
        "error: port 1 is taken",
        "failed: port_taken: It failed",
        f"next: Retry: {failed.id}",
        "    panic: with [secret]",
    ):
        assert words in text
    assert django_settings.SECRET_KEY not in text


def test_the_log_is_for_those_who_see_the_operation(
    owner: Person, teammate: Person, stranger: Person, failed: Operation
) -> None:
    path = f"/operations/{failed.id}/log"
    assert teammate.api().get(path).status_code == 200
    assert stranger.api().get(path).status_code == 404
    assert stranger.api().get(path).headers["Content-Type"] == "application/problem+json"
    assert Client().get(f"/api/v1{path}").status_code == 401
    assert owner.api().get(f"/operations/{uuid4()}/log").status_code == 404


def test_steps_carry_times_resources_and_diagnostics(owner: Person, failed: Operation) -> None:
    plan, apply, *_ = owner.api().get(f"/operations/{failed.id}").json()["steps"]
    assert plan["resources"] == {"create": 1, "same": 1}
    assert plan["diagnostics"] == {}
    assert apply["resources"] == {"failed": 1}
    assert apply["diagnostics"] == {"error": 1, "warning": 1}
    assert all(step["started_at"] and step["finished_at"] for step in (plan, apply))


def test_a_whole_operation_counts_what_it_made(owner: Person) -> None:
    _, operation = stories.provisioned(owner.principal, "globex", NOW)
    steps = {s["name"]: s for s in owner.api().get(f"/operations/{operation.id}").json()["steps"]}
    assert steps["plan"]["resources"]["create"] == steps["apply"]["resources"]["create"] > 5


def test_logs_go_when_their_time_is_over(failed: Operation, settings: Any) -> None:
    settings.FREEHOLD_LOG_RETENTION_DAYS = 10
    assert failed.finished_at is not None
    assert operation_logs_prune(now=failed.finished_at + timedelta(days=10)) == (0, 0)
    assert operation_logs_prune(now=failed.finished_at + timedelta(days=10, seconds=1)) == (1, 1)
    assert operation_logs_prune(now=failed.finished_at + timedelta(days=11)) == (0, 0)
    assert not OperationEvent.objects.exists()
    assert not operation_log_path(failed).exists()
    assert Operation.objects.get().steps.count() == 4, "the operation and its steps stay"


@pytest.mark.parametrize("state", ["queued", "planning", "awaiting_approval", "applying"])
def test_what_has_not_ended_keeps_its_log(failed: Operation, state: str) -> None:
    Operation.objects.update(state=state)
    old = NOW - timedelta(days=900)
    os.utime(operation_log_path(failed), (old.timestamp(), old.timestamp()))
    assert operation_logs_prune(now=NOW + timedelta(days=900)) == (0, 0)
    assert OperationEvent.objects.exists()
    assert operation_log_path(failed).exists()


def test_deprovisioned_tenants_and_files_of_nobody_are_pruned_too(failed: Operation) -> None:
    Tenant.objects.update(lifecycle="deprovisioned", slot=None)
    stray = operation_log_path(failed).with_name(f"{uuid4()}.log")
    stray.write_text("x")
    other = stray.with_name("notes.log")
    other.write_text("not ours")
    later = NOW + timedelta(days=91)
    assert operation_logs_prune(now=later) == (1, 2)
    assert not stray.exists()
    assert other.exists()
    other.unlink()
