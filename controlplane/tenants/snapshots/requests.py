"""What people ask for: a snapshot, a restore, and a tenant made from a snapshot."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from controlplane.accounts.access import Principal
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.operations.binding import APPROVE_NEVER
from controlplane.operations.models import Operation
from controlplane.operations.services import operation_create
from controlplane.tenants.acceptance import tenant_accepts
from controlplane.tenants.approval import approval_rule
from controlplane.tenants.models import Snapshot, Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.selectors import snapshot_get, snapshot_newest
from controlplane.tenants.snapshots.services import snapshot_create, snapshot_hold
from controlplane.tenants.stack_spec import stack_spec_of
from controlplane.tenants.targets import snapshots_demand


@transaction.atomic
def tenant_snapshot(
    *, principal: Principal, tenant: Tenant, now: datetime, reason: str = "", requires_approval: bool = False
) -> Operation:
    """Queues a snapshot. Raises Conflict when the lifecycle does not allow it now, or the target never does.

    Nothing changes, so nobody need approve it; `requires_approval` is taken and has no effect.
    """
    current = Tenant.objects.select_for_update().get(pk=tenant.pk)
    snapshots_demand(current.target, "A snapshot")
    tenant_accepts(current, operation_states.SNAPSHOT)
    operation = _queue(current, operation_states.SNAPSHOT, actor=principal.actor, now=now, reason=reason)
    snapshot_create(tenant=current, operation=operation, kind=states.MANUAL, reason=reason, now=now)
    return operation


@transaction.atomic
def tenant_restore(
    *,
    principal: Principal,
    tenant: Tenant,
    now: datetime,
    snapshot_id: UUID | None = None,
    reason: str = "",
    requires_approval: bool = False,
) -> Operation:
    """Queues a restore of that snapshot, by default of the tenant's newest complete one.

    Raises NotFound for a snapshot of a tenant the principal does not see; Conflict (`no_snapshot`,
    `snapshot_not_complete`, `tenant_state`, `not_supported_on_target`).
    """
    current = Tenant.objects.select_for_update().get(pk=tenant.pk)
    snapshots_demand(current.target, "A restore")
    tenant_accepts(current, operation_states.RESTORE)
    if snapshot_id is not None:
        snapshot = snapshot_get(principal=principal, snapshot_id=snapshot_id)
    else:
        newest = snapshot_newest(tenant=current)
        if newest is None:
            raise Conflict(
                f"{current.slug} has no complete snapshot.",
                code="no_snapshot",
                hint=f"Take one: freehold tenants snapshot {current.slug}",
            )
        snapshot = newest
    snapshot_hold(snapshot)
    return _queue(
        current,
        operation_states.RESTORE,
        actor=principal.actor,
        now=now,
        reason=reason,
        requires_approval=requires_approval,
        rule=approval_rule(plan=plans()[current.plan], kind=operation_states.RESTORE, labels=current.labels),
        snapshot=snapshot,
    )


def restore_after_provision(*, tenant: Tenant, actor: str, now: datetime) -> None:
    """Queues the restore that the tenant was requested with; once. Inside the transaction that made it active."""
    if tenant.restore_from is None:
        return
    snapshot = Snapshot.objects.select_for_update().get(pk=tenant.restore_from)
    Tenant.objects.filter(pk=tenant.pk).update(restore_from=None)
    # The tenant was made for this data and has none yet, so there is nothing to approve.
    _queue(
        tenant,
        operation_states.RESTORE,
        actor=actor,
        now=now,
        reason=f"requested with the tenant, from a snapshot of {snapshot.tenant.slug}",
        rule=APPROVE_NEVER,
        snapshot=snapshot,
    )


def _queue(
    tenant: Tenant,
    kind: str,
    *,
    actor: str,
    now: datetime,
    reason: str,
    requires_approval: bool = False,
    rule: str = APPROVE_NEVER,
    snapshot: Snapshot | None = None,
) -> Operation:
    operation = operation_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        kind=kind,
        spec=stack_spec_of(tenant, kind=kind),
        actor=actor,
        reason=reason,
        requires_approval=requires_approval,
        approval_rule=rule,
        arguments={"snapshot": str(snapshot.pk)} if snapshot else {},
        now=now,
    )
    if snapshot is not None:
        # In the log of the tenant whose data it is, too: somebody is going to have a copy of it.
        audit_record(
            at=now,
            actor=actor,
            action="snapshot.restore_requested",
            subject_type="snapshot",
            subject_id=str(snapshot.pk),
            team_id=tenant.team_id,
            data={"from": snapshot.tenant.slug, "into": tenant.slug, "operation": str(operation.id)},
        )
    return operation
