"""Changes to snapshots: made with their operation, noted when whole, deleted, expired."""

import base64
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from contracts.snapshot import PARTIAL, SnapshotManifest
from controlplane.accounts.access import Principal
from controlplane.core.audit import audit_record
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.rotation import credentials_read
from controlplane.tenants.runtime_secrets import STORAGE, StorageKey, storage_keys_named
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.folders import (
    folder_remove,
    folders_on_disk,
    snapshot_folder,
)
from controlplane.tenants.snapshots.selectors import snapshot_in_use

#: A folder that no row knows may belong to a transaction that has not committed yet.
ORPHAN_AGE_S = 3600


def key_context(snapshot_id: UUID) -> str:
    return f"snapshot:{snapshot_id}"


def storage_context(snapshot_id: UUID) -> str:
    return f"snapshot-storage:{snapshot_id}"


def snapshot_key(snapshot: Snapshot) -> str:
    """The key of its files, in base64. Raises OperatorError when it cannot be opened."""
    return str(decrypt(snapshot.sealed_key, context=key_context(snapshot.pk)))


def snapshot_storage_keys(snapshot: Snapshot) -> list[StorageKey]:
    """What another tenant needs to read its data; none for a snapshot of a tenant that did not seal."""
    if not snapshot.sealed_storage_keys:
        return []
    keys: list[StorageKey] = decrypt(snapshot.sealed_storage_keys, context=storage_context(snapshot.pk))
    return storage_keys_named(keys, snapshot.tenant.slug)


def snapshot_create(
    *, tenant: Tenant, operation: Operation, kind: str, reason: str, now: datetime
) -> Snapshot:
    """The row of a snapshot to be taken by `operation`, with a key of its own."""
    snapshot = Snapshot(
        tenant=tenant,
        operation=operation,
        kind=kind,
        reason=reason,
        created_at=now,
        expires_at=_expiry(now),
    )
    key = base64.b64encode(os.urandom(32)).decode()
    snapshot.sealed_key = encrypt(key, context=key_context(snapshot.pk))
    # Not under the tenant's data key, which ends with the tenant: a snapshot may outlive it.
    if storage := credentials_read(tenant).get(STORAGE):
        snapshot.sealed_storage_keys = encrypt(storage, context=storage_context(snapshot.pk))
    snapshot.save(force_insert=True)
    return snapshot


def snapshot_hold(snapshot: Snapshot) -> None:
    """Locks the row, so that it cannot be removed before its use is on record. Raises Conflict unless complete."""
    current = Snapshot.objects.select_for_update().get(pk=snapshot.pk)
    if current.state != states.COMPLETE:
        raise Conflict(
            f"The snapshot is {current.state}, not complete.",
            code="snapshot_not_complete",
            hint="Choose a complete one.",
            extra={"state": current.state},
        )


def snapshots_follow(*, operation: Operation, now: datetime) -> None:
    """Moves the operation's unfinished snapshot along: begun again, or given up."""
    unfinished = Snapshot.objects.filter(operation=operation)
    if operation.state in operation_states.RUNNING:
        unfinished.filter(state__in=states.ALLOWED_FROM[states.CREATING]).update(
            state=states.CREATING, created_at=now, expires_at=_expiry(now)
        )
    elif operation.state in operation_states.TERMINAL:
        unfinished.filter(state__in=states.ALLOWED_FROM[states.FAILED]).update(state=states.FAILED)


@transaction.atomic
def snapshot_complete(*, operation: Operation, taken: Mapping[str, Any], now: datetime) -> None:
    """Notes that the files are whole on disk. Raises Conflict when the snapshot was removed meanwhile."""
    manifest = SnapshotManifest.model_validate(taken["manifest"])
    moved = Snapshot.objects.filter(
        pk=taken["snapshot"], operation=operation, state__in=states.ALLOWED_FROM[states.COMPLETE]
    ).update(
        state=states.COMPLETE,
        manifest=manifest.model_dump(mode="json"),
        manifest_sha256=taken["manifest_sha256"],
        size_bytes=taken["bytes"],
        completed_at=now,
        expires_at=_expiry(now),
    )
    if moved != 1:
        raise Conflict(f"Snapshot {taken['snapshot']} was removed while it was taken.", code="snapshot_gone")
    audit_record(
        at=now,
        actor=operation.requested_by,
        action="snapshot.taken",
        subject_type="snapshot",
        subject_id=str(taken["snapshot"]),
        team_id=operation.tenant.team_id,
        data={
            "tenant": manifest.tenant,
            "bytes": taken["bytes"],
            "manifest_sha256": taken["manifest_sha256"],
        },
    )


@transaction.atomic
def snapshot_delete(*, principal: Principal, snapshot: Snapshot, now: datetime) -> Snapshot:
    """Forgets the key, then removes the files. Raises Conflict while it is taken or in use (`snapshot_in_use`)."""
    current = Snapshot.objects.select_for_update().select_related("tenant").get(pk=snapshot.pk)
    if current.state == states.CREATING:
        raise Conflict(
            "The snapshot is being taken.",
            code="snapshot_in_use",
            hint="Cancel its operation, then delete it.",
        )
    if current.state in states.GONE:
        raise Conflict(f"The snapshot is {current.state} already.", code="snapshot_gone")
    _remove(current, states.DELETED, actor=principal.actor, now=now)
    return current


def snapshots_expire(*, now: datetime) -> int:
    """Removes what is kept no longer, failed attempts, and folders no row stands for; how many rows moved."""
    removed = 0
    due = Q(expires_at__lte=now, state__in=states.ALLOWED_FROM[states.EXPIRED])
    for snapshot_id in list(Snapshot.objects.filter(due).values_list("pk", flat=True)):
        with transaction.atomic():
            current = (
                Snapshot.objects.select_for_update()
                .select_related("tenant")
                .filter(due, pk=snapshot_id)
                .first()
            )
            if current is not None and not snapshot_in_use(current):
                _remove(current, states.EXPIRED, actor="system:retention", now=now)
                removed += 1
    _folders_sweep(now)
    return removed


def _remove(snapshot: Snapshot, state: str, *, actor: str, now: datetime) -> None:
    """The row first: from then on nobody can begin to read what is being removed."""
    if snapshot_in_use(snapshot):
        raise Conflict(
            "The snapshot is about to be restored.",
            code="snapshot_in_use",
            hint="Wait for that operation, or cancel it.",
        )
    moved = Snapshot.objects.filter(pk=snapshot.pk, state__in=states.ALLOWED_FROM[state]).update(
        state=state, sealed_key="", sealed_storage_keys="", removed_at=now
    )
    if moved != 1:
        raise Conflict(f"The snapshot is {snapshot.state}.", code="snapshot_gone")
    snapshot.refresh_from_db()
    audit_record(
        at=now,
        actor=actor,
        action=f"snapshot.{state}",
        subject_type="snapshot",
        subject_id=str(snapshot.pk),
        team_id=snapshot.tenant.team_id,
        data={"tenant": snapshot.tenant.slug, "kind": snapshot.kind},
    )
    folder = snapshot_folder(tenant_id=snapshot.tenant_id, snapshot_id=snapshot.pk)
    transaction.on_commit(lambda: folder_remove(folder, folder.with_name(folder.name + PARTIAL)))


def _folders_sweep(now: datetime) -> None:
    """Removes folders of snapshots that are gone or were given up, and partial ones that nobody writes."""
    for folder, snapshot_id in folders_on_disk():
        with transaction.atomic():
            # Locked, so that no attempt begins to write what is being removed.
            row = Snapshot.objects.select_for_update().filter(pk=snapshot_id).first()
            if row is None:
                if now.timestamp() - _age_of(folder) >= ORPHAN_AGE_S:
                    folder_remove(folder)
            elif row.state in (states.FAILED, *states.GONE) or (
                row.state == states.COMPLETE and folder.name.endswith(PARTIAL)
            ):
                folder_remove(folder)


def _age_of(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _expiry(now: datetime) -> datetime:
    return now + timedelta(days=settings.FREEHOLD_SNAPSHOT_RETENTION_DAYS)
