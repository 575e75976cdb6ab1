"""Asking for each kind of operation, as an operator does."""

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_delete, tenant_operate, tenant_update
from controlplane.tenants.snapshots.requests import tenant_restore, tenant_snapshot
from tests.support.people import Person

SLUG = "acme"


def ask(kind: str, owner: Person, *, slug: str = SLUG, final_snapshot: bool = False) -> Operation:
    """Queues one operation of the kind on the tenant; an `update` always has something to change.

    A `deprovision` takes its final snapshot where that is asked for: with its drill it takes a while.
    """
    now = clock.now()
    if kind == "provision":
        _, operation = tenant_create(
            principal=owner.principal, slug=slug, name=slug, plan="starter", target="local", now=now
        )
        return operation
    # The newest: one that is gone leaves its slug to the next.
    tenant = Tenant.objects.filter(slug=slug).latest("created_at")
    if kind == "deprovision":
        return tenant_delete(
            principal=owner.principal, tenant=tenant, now=now, skip_final_snapshot=not final_snapshot
        )
    if kind == "snapshot":
        return tenant_snapshot(principal=owner.principal, tenant=tenant, now=now)
    if kind == "restore":
        return tenant_restore(principal=owner.principal, tenant=tenant, now=now)
    if kind == "update":
        memory = int(tenant.overrides.get("cache", {}).get("max_memory_mb", 40)) % 60 + 16
        changes = {"overrides": {"cache": {"max_memory_mb": memory}}}
        _, changed = tenant_update(principal=owner.principal, tenant=tenant, changes=changes, now=now)
        assert changed is not None
        return changed
    return tenant_operate(principal=owner.principal, tenant=tenant, kind=kind, now=now)
