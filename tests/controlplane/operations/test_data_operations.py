"""Snapshot, restore and verified deprovision through the real executor, runner, engine and runtime."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from django.conf import settings
from django.db import connection

from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.encryption import decrypt
from controlplane.core.errors import PermissionDenied
from controlplane.operations import approvals, leases, services, states
from controlplane.operations.executor import _Execution, operation_execute, operation_log_path
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.process import RunnerProcess, operation_mark
from controlplane.operations.reaper import operations_reap
from controlplane.operations.record import secret_context
from controlplane.operations.selectors import stack_of
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.services import tenant_create, tenant_credentials_issue, tenant_delete
from controlplane.tenants.snapshots.folders import snapshot_folder
from controlplane.tenants.snapshots.requests import tenant_restore, tenant_snapshot
from embedded.crashpoints import VARIABLE
from embedded.processes import processes_marked, wait_until
from tests.support.people import Person

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parent.parent.parent.parent


def run() -> Operation:
    operation = leases.operation_claim(worker="test", now=clock.now())
    assert operation is not None
    operation_execute(operation)
    operation.refresh_from_db()
    return operation


def succeeded() -> Operation:
    operation = run()
    assert (operation.state, operation.error) == (states.SUCCEEDED, None)
    return operation


def provision(householder: Person, slug: str = "acme", **more: Any) -> Tenant:
    values = {"slug": slug, "name": slug, "plan": "starter", "target": "local", **more}
    tenant, _ = tenant_create(principal=householder.principal, now=clock.now(), **values)
    succeeded()
    tenant.refresh_from_db()
    return tenant


def sql(tenant: Tenant, statement: str) -> list[Any]:
    stack = stack_of(tenant_id=tenant.id)
    assert stack is not None
    secrets = decrypt(stack.secret_outputs, context=secret_context(tenant.id))
    with psycopg.connect(secrets["postgres_url"], autocommit=True) as database:
        cursor = database.execute(statement)
        return cursor.fetchall() if cursor.description else []


def key_of(householder: Person, tenant: Tenant) -> str:
    issued = tenant_credentials_issue(
        principal=householder.principal, tenant=tenant, name="test", now=clock.now()
    )
    return issued["api_key"]


def opens(tenant: Tenant, key: str) -> bool:
    answer = httpx.post(
        f"{tenant.runtime_url}/threads/search", json={}, headers={"x-api-key": key}, timeout=10
    )
    assert answer.status_code in (200, 401, 403)
    return answer.status_code == 200


def conversation(tenant: Tenant, key: str) -> str:
    """A thread with an answer in it."""
    with httpx.Client(base_url=tenant.runtime_url, headers={"x-api-key": key}, timeout=30) as client:
        thread: str = client.post("/threads", json={}).raise_for_status().json()["thread_id"]
        asked = {"messages": [{"role": "user", "content": "What do you know?"}]}
        body = {"assistant_id": "document_analyst", "input": asked}
        client.post(f"/threads/{thread}/runs/wait", json=body).raise_for_status()
        return thread


def messages(tenant: Tenant, thread: str) -> list[str]:
    """What the thread holds, as the runtime's administrator reads it from the sealed checkpoints."""
    stack = stack_of(tenant_id=tenant.id)
    assert stack is not None
    key = decrypt(stack.secret_outputs, context=secret_context(tenant.id))["runtime_admin_key"]
    address = f"{tenant.runtime_url}/threads/{thread}/state"
    state = httpx.get(address, headers={"x-api-key": key}, timeout=10).raise_for_status().json()
    return [str(message["content"]) for message in state["values"]["messages"]]


def snapshot(householder: Person, tenant: Tenant) -> Snapshot:
    operation = tenant_snapshot(principal=householder.principal, tenant=tenant, now=clock.now())
    succeeded()
    return Snapshot.objects.get(operation=operation)


def approve(operation: Operation, actor: str = "user:second@example.com") -> None:
    approvals.operation_approve(operation=operation, actor=actor, now=clock.now())


def steps(operation: Operation) -> list[tuple[str, str]]:
    return [(step.name, step.state) for step in operation.steps.all()]


def meanwhile(work: Callable[[], None]) -> threading.Thread:
    def guarded() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=guarded)
    thread.start()
    return thread


def test_snapshot_restore_and_a_new_tenant_from_it(householder: Person, tmp_path: Path) -> None:
    tenant = provision(householder)
    old_key = key_of(householder, tenant)
    thread = conversation(tenant, old_key)
    said = messages(tenant, thread)
    assert said[0] == "What do you know?"
    unsealed = "SELECT count(*) FROM checkpoint_blobs WHERE type <> 'empty' AND type NOT LIKE 'fh1:%'"
    assert sql(tenant, unsealed) == [(0,)]
    sql(tenant, "UPDATE threads SET owner = 'then'")
    taken = snapshot(householder, tenant)
    assert (taken.state, taken.kind, taken.size_bytes > 1000) == ("complete", "manual", True)
    folder = snapshot_folder(tenant_id=tenant.id, snapshot_id=taken.id)
    assert sorted(path.name for path in folder.iterdir()) == [
        "cache.records", "manifest.json", "postgres.dump", "vector_store.dump",
    ]  # fmt: skip

    # A restore overwrites data, so it stops for a person, with a plan that names what is replaced.
    sql(tenant, "UPDATE threads SET owner = 'since'")
    since_key = key_of(householder, tenant)
    tenant_restore(principal=householder.principal, tenant=tenant, now=clock.now())
    parked = run()
    assert (parked.state, parked.plan_summary["replace"]) == (states.AWAITING_APPROVAL, 3)
    assert "Data would be lost" in parked.approval_reason
    assert sql(tenant, "SELECT owner FROM threads") == [("since",)]
    approve(parked)
    restored = succeeded()
    assert steps(restored) == [("check", "succeeded"), ("restore", "succeeded"), ("verify", "succeeded")]
    assert sql(tenant, "SELECT owner FROM threads") == [("then",)]
    # Keys are no part of the past: both open.
    assert opens(tenant, old_key)
    assert opens(tenant, since_key)
    assert messages(tenant, thread) == said

    # The tenant goes; its final snapshot stays, and a new tenant is made from it.
    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    gone = succeeded()
    assert steps(gone) == [
        (name, "succeeded") for name in ("plan", "settle", "snapshot", "apply", "record", "verify")
    ]
    assert "Drill passed" in gone.steps.get(name="snapshot").detail
    # No control plane listens here: what could not be delivered is told, and is in the final snapshot.
    assert "could not be (ConnectError)" in gone.steps.get(name="settle").detail
    final = Snapshot.objects.get(operation=gone)
    assert (final.kind, final.state) == ("final", "complete")
    assert not (tmp_path / "tenants" / "acme").exists()
    assert not list((tmp_path / "operations").iterdir())

    heir, _ = tenant_create(
        principal=householder.principal, slug="globex", name="G", plan="starter", target="local",
        restore_from=final.id, now=clock.now(),
    )  # fmt: skip
    assert succeeded().kind == states.PROVISION
    followed = succeeded()
    assert (followed.kind, followed.arguments) == (states.RESTORE, {"snapshot": str(final.id)})
    heir.refresh_from_db()
    assert heir.restore_from is None
    assert sql(heir, "SELECT owner FROM threads") == [("then",)]
    assert not opens(heir, old_key)
    assert opens(heir, key_of(householder, heir))
    # The snapshot brought what its data was sealed with, though the tenant's own secrets are gone for good.
    assert messages(heir, thread) == said
    # No key of the tenants is readable in what is kept of them.
    sealed = b"".join(path.read_bytes() for path in (tmp_path / "snapshots").rglob("*") if path.is_file())
    log = b"".join(path.read_bytes() for path in (tmp_path / "logs").rglob("*") if path.is_file())
    events = json.dumps(list(OperationEvent.objects.values_list("data", flat=True)))
    for secret in (old_key, since_key):
        assert secret.encode() not in sealed + log + events.encode()


@pytest.mark.parametrize(("kind", "worker_dies"), [("snapshot", False), ("restore", True)])
def test_a_killed_run_is_taken_over_and_finished(householder: Person, kind: str, worker_dies: bool) -> None:
    tenant = provision(householder)
    sql(
        tenant,
        "INSERT INTO threads (thread_id, owner) SELECT gen_random_uuid(), 'then' FROM generate_series(1, 20000)",
    )
    step = "capture" if kind == "snapshot" else "restore"
    if kind == "restore":
        snapshot(householder, tenant)
        sql(tenant, "DELETE FROM threads")
        tenant_restore(principal=householder.principal, tenant=tenant, now=clock.now())
        approve(run())
        operation = Operation.objects.get(kind="restore")
    else:
        operation = tenant_snapshot(principal=householder.principal, tenant=tenant, now=clock.now())

    def kill() -> None:
        deadline = time.monotonic() + 60
        while operation.steps.get(name=step).state != "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.4)
        for identity in processes_marked(operation_mark(operation.id)):
            os.kill(identity.pid, signal.SIGKILL)

    thread = meanwhile(kill)
    if worker_dies:
        claimed = leases.operation_claim(worker="dying", now=clock.now())
        assert claimed is not None
        execution = _Execution(claimed)
        runner = RunnerProcess(
            execution._job(), lease_token=execution.token, log_path=operation_log_path(claimed)
        )
        with contextlib.suppress(EOFError):
            while thread.is_alive():
                if (event := runner.next(0.05)) is not None:
                    execution._handle(event, runner, [])
        thread.join()
        Operation.objects.update(lease_expires_at=clock.now() - timedelta(seconds=1))
        assert operations_reap(now=clock.now()) == 1
        runner.close()
    else:
        assert run().state == states.QUEUED
        thread.join()
    assert processes_marked(operation_mark(operation.id)) == []
    done = succeeded()
    assert (done.pk, done.attempt) == (operation.pk, 2)
    assert sql(tenant, "SELECT count(*) FROM threads") == [(20000,)]
    assert Snapshot.objects.get().state == "complete"


def test_a_canceled_snapshot_leaves_no_files_and_may_be_retried(
    householder: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = provision(householder)
    points = tmp_path / "points"
    points.mkdir()
    (points / "snapshot.cache-read.armed").touch()
    monkeypatch.setenv(VARIABLE, str(points))
    operation = tenant_snapshot(principal=householder.principal, tenant=tenant, now=clock.now())
    reached = points / "snapshot.cache-read.reached"

    def cancel() -> None:
        wait_until(reached.exists, 60.0)
        services.operation_cancel(
            operation=Operation.objects.get(pk=operation.pk), actor="t", now=clock.now()
        )
        # The executor asks for cancels when it renews its lease.
        time.sleep(settings.FREEHOLD_LEASE_S / 5 + 1)
        reached.unlink()

    thread = meanwhile(cancel)
    canceled = run()
    thread.join()
    assert canceled.state == states.CANCELED
    assert Snapshot.objects.get().state == "failed"
    services.operation_retry(operation=canceled, actor="t", now=clock.now())
    succeeded()
    assert Snapshot.objects.get().state == "complete"
    assert [path.name for path in (tmp_path / "snapshots").glob("*/*")] == [str(Snapshot.objects.get().id)]


def test_a_damaged_snapshot_is_refused_with_nothing_changed(householder: Person) -> None:
    tenant = provision(householder)
    sql(tenant, "INSERT INTO threads (thread_id, owner) VALUES (gen_random_uuid(), 'then')")
    taken = snapshot(householder, tenant)
    sql(tenant, "UPDATE threads SET owner = 'since'")
    path = snapshot_folder(tenant_id=tenant.id, snapshot_id=taken.id) / "postgres.dump"
    content = path.read_bytes()
    path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    tenant_restore(principal=householder.principal, tenant=tenant, now=clock.now())
    refused = run()
    assert refused.error is not None
    assert (refused.state, refused.error["code"]) == (states.FAILED, "snapshot_corrupt")
    assert "postgres.dump" in refused.error["detail"]
    assert steps(refused) == [("check", "failed"), ("restore", "skipped"), ("verify", "skipped")]
    assert sql(tenant, "SELECT owner FROM threads") == [("since",)]


def test_a_deprovision_destroys_nothing_without_a_proven_snapshot(
    householder: Person, tmp_path: Path
) -> None:
    tenant = provision(householder)
    sql(tenant, "CREATE TABLE odd (n int)")
    sql(tenant, "INSERT INTO odd VALUES (1)")
    # The owner's own table cannot be read any more: the stores are broken, as far as a snapshot goes.
    sql(tenant, "REVOKE ALL ON odd FROM agents")
    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    failed = run()
    tenant.refresh_from_db()
    assert failed.error is not None
    assert (failed.state, failed.error["code"]) == (states.FAILED, "final_snapshot_failed")
    assert "--skip-final-snapshot" in failed.error["hint"]
    assert steps(failed)[1:4] == [("settle", "succeeded"), ("snapshot", "failed"), ("apply", "skipped")]
    assert tenant.lifecycle == "deprovisioning"
    assert sql(tenant, "SELECT count(*) FROM threads") == [(0,)]
    assert (tmp_path / "tenants" / "acme").exists()
    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now(), skip_final_snapshot=True)
    gone = succeeded()
    assert "Skipped" in gone.steps.get(name="snapshot").detail


def test_production_needs_a_second_person_and_a_rejected_deletion_changes_nothing(
    householder: Person,
) -> None:
    tenant = provision(householder, labels={"environment": "production"})
    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    parked = run()
    assert parked.state == states.AWAITING_APPROVAL
    assert "another person" in parked.approval_reason
    key, _ = api_key_create(
        team_id=householder.team.id,
        name="k",
        scopes=["admin"],
        actor=householder.principal.actor,
        now=clock.now(),
    )
    for same in (householder.principal.actor, f"key:{key.prefix}"):
        with pytest.raises(PermissionDenied) as refused:
            approvals.operation_approve(operation=parked, actor=same, now=clock.now())
        assert refused.value.code == "second_person_needed"
    approvals.operation_reject(
        operation=parked, actor="user:second@example.com", reason="no", now=clock.now()
    )
    tenant.refresh_from_db()
    assert tenant.lifecycle == "active"
    assert httpx.get(f"{tenant.runtime_url}/ready", timeout=5).status_code == 200

    tenant_delete(principal=householder.principal, tenant=tenant, now=clock.now())
    approve(run())
    assert succeeded().kind == states.DEPROVISION
    tenant.refresh_from_db()
    assert tenant.lifecycle == "deprovisioned"
