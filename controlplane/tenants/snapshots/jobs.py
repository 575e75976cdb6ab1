"""Which work on data an operation on a tenant means, decided anew at each of its attempts."""

from uuid import UUID

from contracts.snapshot import DataJob
from controlplane.core import clock
from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.folders import snapshot_folder
from controlplane.tenants.snapshots.services import snapshot_create, snapshot_key
from controlplane.tenants.targets import AWS, WITH_SNAPSHOTS


def data_job_build(*, operation: Operation, scratch: str) -> DataJob | None:
    """None for a kind without work on data. Raises Conflict when the snapshot it needs is gone."""
    if operation.kind == operation_states.SNAPSHOT:
        return _job("snapshot", operation, scratch, Snapshot.objects.get(operation=operation))
    if operation.kind == operation_states.RESTORE:
        return _job("restore", operation, scratch, _restored(operation))
    if operation.kind == operation_states.DEPROVISION:
        return _final(operation, scratch)
    return None


def _final(operation: Operation, scratch: str) -> DataJob:
    tenant = Tenant.objects.get(pk=operation.tenant_id)
    # Its runtime is never started again once it was settled, so the data has not moved since.
    taken = Snapshot.objects.filter(tenant=tenant, kind=states.FINAL, state=states.COMPLETE).first()
    reason = _without_final(operation, tenant, taken)
    if tenant.target not in WITH_SNAPSHOTS:
        return DataJob(
            verb="final",
            restore_id=operation.id,
            snapshot_id=None,
            folder="",
            scratch=scratch,
            settle=False,
            unsettled_reason="Usage that the runtime has not reported by its end is not fetched on this target.",
            skip_reason=reason,
        )
    if reason:
        return DataJob(
            verb="final",
            restore_id=operation.id,
            snapshot_id=None,
            folder="",
            scratch=scratch,
            settle=taken is None and tenant.activated_at is not None,
            skip_reason=reason,
        )
    snapshot = Snapshot.objects.filter(operation=operation, kind=states.FINAL).first()
    if snapshot is None:
        snapshot = snapshot_create(
            tenant=operation.tenant,
            operation=operation,
            kind=states.FINAL,
            reason=operation.reason,
            now=clock.now(),
        )
    return _job("final", operation, scratch, snapshot)


def _without_final(operation: Operation, tenant: Tenant, taken: Snapshot | None) -> str:
    """Why no final snapshot is taken; empty when one is."""
    if taken is not None:
        return f"Taken and proven before: snapshot {taken.id}."
    if tenant.activated_at is None:
        return "Skipped: the tenant never became active, so it has no data."
    if not plans()[tenant.plan].final_snapshot:
        return f"Skipped: the plan {tenant.plan} keeps none."
    if tenant.target == AWS:
        return "Left to AWS: RDS takes a final snapshot of Postgres as it is deleted; no other store is kept."
    if operation.arguments.get("skip_final_snapshot"):
        return f"Skipped: {operation.requested_by} asked for it."
    if tenant.target not in WITH_SNAPSHOTS:
        return f"Skipped: the target {tenant.target} can take none."
    return ""


def _restored(operation: Operation) -> Snapshot:
    snapshot = Snapshot.objects.filter(pk=UUID(operation.arguments["snapshot"])).first()
    if snapshot is None or snapshot.state != states.COMPLETE:
        state = snapshot.state if snapshot else "unknown"
        raise Conflict(
            f"The snapshot to restore is {state}.",
            code="snapshot_gone",
            hint=f"Nothing was changed. Restore another one: freehold tenants snapshots {operation.tenant.slug}",
        )
    return snapshot


def _job(verb: str, operation: Operation, scratch: str, snapshot: Snapshot) -> DataJob:
    return DataJob.model_validate(
        {
            "verb": verb,
            "restore_id": operation.id,
            "snapshot_id": snapshot.id,
            "folder": str(snapshot_folder(tenant_id=snapshot.tenant_id, snapshot_id=snapshot.id)),
            "key": snapshot_key(snapshot),
            "scratch": scratch,
            "manifest_sha256": snapshot.manifest_sha256 if verb == "restore" else "",
        }
    )
