"""The executor with the real runner, the real Pulumi CLI and the local target: success, failure, retry, cancel."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.db import connection
from django.db.models import F

from controlplane.core import clock
from controlplane.operations import approvals, leases, services, states
from controlplane.operations.executor import _Execution, operation_execute, operation_log_path
from controlplane.operations.models import Operation, OperationEvent, Stack
from controlplane.operations.process import RunnerProcess, operation_mark
from controlplane.operations.reaper import operations_reap
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_delete, tenant_operate
from embedded.processes import processes_marked
from tests.support.people import Person

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def provision(householder: Person, slug: str = "acme") -> tuple[Tenant, Operation]:
    return tenant_create(
        principal=householder.principal, slug=slug, name=slug, plan="starter", target="local", now=clock.now()
    )


def run() -> Operation:
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    operation_execute(operation)
    operation.refresh_from_db()
    return operation


def drop(householder: Person, tenant: Tenant) -> None:
    tenant.refresh_from_db()
    if tenant.lifecycle == "deprovisioned":
        return
    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    assert run().state == states.SUCCEEDED


def test_provision_then_deprovision(householder: Person, tmp_path: Path) -> None:
    tenant, _ = provision(householder)
    operation = run()
    tenant.refresh_from_db()
    assert (operation.state, operation.error) == (states.SUCCEEDED, None)
    assert (tenant.lifecycle, tenant.health) == ("active", "healthy")
    assert operation.plan_summary["create"] > 6
    assert operation.progress_done == operation.progress_total
    assert {"local:index:PostgresServer", "local:index:RuntimeProcess"} <= {
        r["type"] for r in tenant.stack.resources
    }
    assert tenant.stack.state_version >= 1
    assert "password" not in tenant.stack.secret_outputs
    kinds = set(OperationEvent.objects.filter(operation=operation).values_list("type", flat=True))
    assert {"state", "step", "resource", "summary"} <= kinds
    assert processes_marked(str(tmp_path / "tenants" / "acme"))

    drop(householder, tenant)
    tenant.refresh_from_db()
    assert (tenant.lifecycle, tenant.slot, tenant.sealed_secrets, tenant.runtime_url) == (
        "deprovisioned",
        None,
        "",
        "",
    )
    assert processes_marked(str(tmp_path / "tenants")) == []
    named = [path for path in tmp_path.rglob("*acme*") if "state" not in path.relative_to(tmp_path).parts[:1]]
    assert named == []
    # The slug is free again.
    again, _ = provision(householder)
    assert again.pk != tenant.pk
    services.operation_cancel(operation=Operation.objects.get(state="queued"), actor="t", now=clock.now())


def test_what_is_left_of_a_tenant_stops_the_deprovision_and_is_named(
    householder: Person, tmp_path: Path
) -> None:
    tenant, _ = provision(householder)
    assert run().state == states.SUCCEEDED
    folder = tmp_path / "tenants" / "acme"
    orphans: list[subprocess.Popen[bytes]] = []

    def plant() -> None:
        """The provider is thorough, so what is left must come after it: a process with the tenant's mark."""
        deadline = time.monotonic() + 60
        while folder.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        env = {**os.environ, "FREEHOLD_UNIT": str(folder / "forgotten")}
        orphans.append(subprocess.Popen(["sleep", "300"], env=env, start_new_session=True))
        (folder / "forgotten").mkdir(parents=True)

    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    thread = threading.Thread(target=plant)
    thread.start()
    stopped = run()
    thread.join()
    orphans[0].kill()
    orphans[0].wait()
    tenant.refresh_from_db()
    assert stopped.error is not None
    assert (stopped.state, stopped.error["code"], tenant.lifecycle) == (
        "failed",
        "leak_found",
        "deprovisioning",
    )
    assert f"process {orphans[0].pid}: sleep" in stopped.error["detail"]
    assert f"directory {folder}" in stopped.error["detail"]

    shutil.rmtree(folder)
    services.operation_retry(operation=stopped, actor="t", now=clock.now())
    assert run().state == states.SUCCEEDED
    tenant.refresh_from_db()
    assert tenant.lifecycle == "deprovisioned"


def test_a_provider_failure_half_way_says_what_failed_and_retry_goes_on(householder: Person) -> None:
    tenant, operation = provision(householder)
    port = operation.spec["local"]["ports"]["vector_store"]
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        failed = run()
    tenant.refresh_from_db()
    assert (failed.state, tenant.lifecycle) == (states.FAILED, "failed")
    assert failed.error is not None
    assert failed.error["code"] == "port_taken"
    assert failed.error["title"].endswith("another process listens on a port it needs")
    assert f"freehold operations retry {failed.id}" in failed.error["hint"]
    assert failed.error["resource"]["type"] == "local:index:PostgresServer"
    assert str(port) in failed.error["detail"]
    assert failed.error["hint"]
    assert [step.state for step in failed.steps.all()] == ["succeeded", "failed", "skipped", "skipped"]
    assert "local:index:DataDirectory" in {resource["type"] for resource in tenant.stack.resources}

    services.operation_retry(operation=failed, actor="t", now=clock.now())
    retried = run()
    tenant.refresh_from_db()
    assert (retried.state, retried.attempt, tenant.lifecycle) == (states.SUCCEEDED, 2, "active")


def test_cancel_while_applying_stops_the_engine_and_a_retry_finishes(householder: Person) -> None:
    tenant, operation = provision(householder)

    def cancel() -> None:
        try:
            deadline = time.monotonic() + 60
            while (
                Operation.objects.get(pk=operation.pk).state != states.APPLYING
                and time.monotonic() < deadline
            ):
                time.sleep(0.05)
            services.operation_cancel(
                operation=Operation.objects.get(pk=operation.pk), actor="t", now=clock.now()
            )
        finally:
            connection.close()

    thread = threading.Thread(target=cancel)
    thread.start()
    canceled = run()
    thread.join()
    tenant.refresh_from_db()
    assert (canceled.state, tenant.lifecycle) == (states.CANCELED, "failed")
    told = canceled.steps.get(name=states.STEP_APPLY).detail
    assert told.startswith("Canceled. ")
    made, planned = map(int, re.findall(r"(\d+) of (\d+) changes were made", told)[0])
    assert made < planned <= canceled.progress_total
    assert processes_marked(operation_mark(operation.id)) == []
    services.operation_retry(operation=canceled, actor="t", now=clock.now())
    assert run().state == states.SUCCEEDED


def test_a_killed_runner_is_followed_by_another_that_clears_the_lock(householder: Person) -> None:
    tenant, operation = provision(householder)

    def kill() -> None:
        try:
            deadline = time.monotonic() + 60
            while Operation.objects.get(pk=operation.pk).progress_done < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            for identity in processes_marked(operation_mark(operation.id)):
                os.kill(identity.pid, signal.SIGKILL)
        finally:
            connection.close()

    thread = threading.Thread(target=kill)
    thread.start()
    dead = run()
    thread.join()
    assert (dead.state, dead.attempt, dead.takeovers) == (states.QUEUED, 2, 1)
    assert run().state == states.SUCCEEDED
    tenant.refresh_from_db()
    assert (tenant.lifecycle, tenant.stack.lock_suspect) == ("active", False)


def park(householder: Person) -> Operation:
    """An update of an active tenant whose plan waits for a person."""
    tenant = Tenant.objects.get(slug="acme")
    Tenant.objects.filter(pk=tenant.pk).update(overrides={"cache": {"max_memory_mb": 32}})
    tenant.refresh_from_db()
    tenant_operate(
        principal=householder.principal, tenant=tenant, kind="update", requires_approval=True, now=clock.now()
    )
    parked = run()
    assert (parked.state, parked.plan_summary["update"] > 0) == (states.AWAITING_APPROVAL, True)
    assert parked.progress_done == 0 < parked.progress_total
    approvals.operation_approve(operation=parked, actor="owner", now=clock.now())
    return parked


def assert_stale(operation: Operation, named: str, before: dict[str, str]) -> None:
    """Refused under the lease with nothing changed, the reason named, and a fresh plan waiting."""
    again = run()
    assert (again.pk, again.state) == (operation.pk, states.AWAITING_APPROVAL)
    told = OperationEvent.objects.filter(operation=operation, type="state").last()
    assert told is not None
    assert named in told.data["plan_stale"]
    assert again.binding["plan_id"] != operation.binding["plan_id"]
    assert (again.approved_by, again.approved_binding) == ("", None)
    assert state_files(before) == before


def state_files(like: dict[str, str]) -> dict[str, str]:
    """Path -> content of the backend's stack files."""
    return {path: Path(path).read_text() for path in like}


def test_an_approval_binds_to_state_config_and_nothing_else_is_applied(
    householder: Person, tmp_path: Path
) -> None:
    provision(householder)
    assert run().state == states.SUCCEEDED
    stack_file = str(next((tmp_path / "state" / ".pulumi" / "stacks").rglob("acme.json")))

    # 1. The state is written by hand, with the plain command's file.
    operation = park(householder)
    document = json.loads(Path(stack_file).read_text())
    resources = document["checkpoint"]["latest"]["resources"]
    next(r for r in resources if r["type"] == "local:index:RedisServer")["protect"] = True
    Path(stack_file).write_text(json.dumps(document))
    assert_stale(operation, "the stack's state", {stack_file: Path(stack_file).read_text()})

    # 2. The tenant's configuration changes between plan and approval.
    operation.refresh_from_db()
    approvals.operation_approve(operation=operation, actor="owner", now=clock.now())
    Tenant.objects.update(overrides={"cache": {"max_memory_mb": 48}})
    operation.refresh_from_db()
    assert_stale(operation, "the tenant's specification", {stack_file: Path(stack_file).read_text()})

    # 3. Another operation changed the stack meanwhile.
    operation.refresh_from_db()
    approvals.operation_approve(operation=operation, actor="owner", now=clock.now())
    Stack.objects.update(state_version=F("state_version") + 1)
    operation.refresh_from_db()
    assert_stale(
        operation, "the stack's state (another operation ran)", {stack_file: Path(stack_file).read_text()}
    )

    # Nothing moved: it is applied.
    operation.refresh_from_db()
    approvals.operation_approve(operation=operation, actor="owner", now=clock.now())
    assert run().state == states.SUCCEEDED


@pytest.mark.parametrize("signal_first", [None, signal.SIGSTOP], ids=["killed", "paused"])
def test_a_dead_workers_run_is_taken_over_and_finished(
    householder: Person, signal_first: signal.Signals | None
) -> None:
    """The executor is abandoned in mid-apply, as by kill -9; its runner lives on, or is a paused zombie."""
    tenant, operation = provision(householder)
    claimed = leases.operation_claim(worker="dying", now=clock.now())
    assert claimed is not None
    execution = _Execution(claimed)
    runner = RunnerProcess(
        execution._job(), lease_token=execution.token, log_path=operation_log_path(claimed)
    )
    batch: list[Any] = []
    deadline = time.monotonic() + 60
    while execution.operation.progress_done < 3 and time.monotonic() < deadline:
        event = runner.next(0.1)
        if event is not None:
            execution._handle(event, runner, batch)
    zombies = processes_marked(operation_mark(operation.id))
    assert zombies
    if signal_first is not None:
        for identity in zombies:
            os.kill(identity.pid, signal_first)

    Operation.objects.update(lease_expires_at=clock.now() - timedelta(seconds=1))
    assert operations_reap(now=clock.now()) == 1
    assert processes_marked(operation_mark(operation.id)) == []
    finished = run()
    tenant.refresh_from_db()
    assert (finished.pk, finished.error, finished.attempt) == (operation.pk, None, 2)
    assert finished.state == states.SUCCEEDED
    assert (tenant.lifecycle, tenant.stack.lock_suspect) == ("active", False)
    # Nothing was created twice: one server for each data folder.
    for part in ("postgres", "vector"):
        folder = f"{finished.spec['local']['data_dir']}/{part}"
        servers = [p for p in psutil.process_iter(["cmdline"]) if folder in " ".join(p.info["cmdline"] or [])]
        assert len(servers) == 1, part
    runner.close()


def test_an_operation_with_approval_parks_after_the_plan(householder: Person, tmp_path: Path) -> None:
    tenant, operation = tenant_create(
        principal=householder.principal,
        slug="acme",
        name="Acme",
        plan="starter",
        target="local",
        requires_approval=True,
        now=clock.now(),
    )
    parked = run()
    assert (parked.state, parked.plan_summary["create"] > 6) == (states.AWAITING_APPROVAL, True)
    assert not (tmp_path / "tenants" / "acme").exists()
    approvals.operation_approve(operation=parked, actor="owner", now=clock.now())
    assert run().state == states.SUCCEEDED
    assert operation_log_path(operation).exists()
    tenant.refresh_from_db()
    assert tenant.lifecycle == "active"
