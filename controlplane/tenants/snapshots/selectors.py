"""Reads of snapshots. Whoever sees a tenant sees its snapshots, also once the tenant is gone."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from controlplane.accounts.access import Principal
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import NotFound
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants import states as tenant_states
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.snapshots import states


def snapshots_visible(*, principal: Principal) -> QuerySet[Snapshot]:
    visible = Snapshot.objects.filter(tenant__team_id=principal.team_id)
    if principal.tenant_ids is not None:
        visible = visible.filter(tenant_id__in=principal.tenant_ids)
    return visible.select_related("tenant")


def snapshots_of_slug(*, principal: Principal, slug: str) -> QuerySet[Snapshot]:
    """Of every tenant that has or had that slug: a deleted one's final snapshot is found where it was."""
    return snapshots_visible(principal=principal).filter(tenant__slug=slug)


def snapshot_get(*, principal: Principal, snapshot_id: UUID, slug: str | None = None) -> Snapshot:
    """Raises NotFound for one that does not exist and for one of a tenant the principal does not see alike."""
    found = snapshots_visible(principal=principal).filter(pk=snapshot_id)
    snapshot = (found.filter(tenant__slug=slug) if slug is not None else found).first()
    if snapshot is None:
        raise NotFound(
            "There is no such snapshot.", hint="GET /api/v1/tenants/{slug}/snapshots lists a tenant's."
        )
    return snapshot


def snapshot_newest(*, tenant: Tenant) -> Snapshot | None:
    """The tenant's newest complete one."""
    return (
        Snapshot.objects.filter(tenant=tenant, state=states.COMPLETE).order_by("-completed_at", "-pk").first()
    )


def snapshot_in_use(snapshot: Snapshot) -> bool:
    """Whether an operation, or a tenant still to be provisioned, is going to read it."""
    reading = Operation.objects.filter(
        state__in=operation_states.OPEN,
        kind=operation_states.RESTORE,
        arguments__snapshot=str(snapshot.pk),
    )
    awaited = Tenant.objects.filter(restore_from=snapshot.pk).exclude(
        lifecycle__in=(tenant_states.DEPROVISIONING, tenant_states.DEPROVISIONED)
    )
    return reading.exists() or awaited.exists()


def snapshot_representation(snapshot: Snapshot) -> dict[str, Any]:
    """{id, tenant, operation, kind, state, reason, size_bytes, files: [{name, component, bytes, sha256, items}],
    versions, created_at, completed_at, expires_at, removed_at}; never the key."""
    manifest = snapshot.manifest or {}
    fields = ("name", "component", "bytes", "sha256", "items")
    return {
        "id": str(snapshot.id),
        "tenant": snapshot.tenant.slug,
        "tenant_id": str(snapshot.tenant_id),
        "operation": str(snapshot.operation_id),
        "kind": snapshot.kind,
        "state": snapshot.state,
        "reason": snapshot.reason,
        "size_bytes": snapshot.size_bytes,
        "files": [{name: file[name] for name in fields} for file in manifest.get("files", [])],
        "versions": manifest.get("versions", {}),
        "created_at": moment_text(snapshot.created_at),
        "completed_at": moment_text_or_none(snapshot.completed_at),
        "expires_at": moment_text_or_none(snapshot.expires_at),
        "removed_at": moment_text_or_none(snapshot.removed_at),
    }
