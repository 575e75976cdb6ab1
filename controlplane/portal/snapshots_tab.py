"""A tenant's snapshots: the list, taking one, restoring one, deleting one."""

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require
from controlplane.core import clock
from controlplane.portal.listing import page_of
from controlplane.portal.pages import act, page
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants import states as tenant_states
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.requests import tenant_restore, tenant_snapshot
from controlplane.tenants.snapshots.selectors import snapshot_get, snapshots_of_slug
from controlplane.tenants.snapshots.services import snapshot_delete
from controlplane.tenants.targets import WITH_SNAPSHOTS


@page(roles.TENANTS_READ)
def tenant_snapshots(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    return _listed(request, principal, tenant_get(principal=principal, slug=slug))


def _listed(
    request: HttpRequest, principal: Principal, tenant: Tenant, *, error: str = "", status: int = 200
) -> HttpResponse:
    rows = snapshots_of_slug(principal=principal, slug=tenant.slug).exclude(state__in=states.GONE)
    supported = tenant.target in WITH_SNAPSHOTS
    context = {
        "found": page_of(rows.order_by("-created_at", "-pk"), request.GET),
        "supported": supported,
        "may_take": supported and tenant.lifecycle in tenant_states.ACCEPTS["snapshot"],
        "may_restore": supported and tenant.lifecycle in tenant_states.ACCEPTS["restore"],
        "confirm_error": error,
    }
    return tenant_frame(
        request,
        principal,
        "portal/tenant_snapshots.html",
        tenant,
        context,
        tab="tenant-snapshots",
        status=status,
    )


@page(roles.TENANTS_READ, methods=("POST",))
def snapshot_take(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = _operable(principal, slug)

    def work() -> str:
        operation = tenant_snapshot(
            principal=principal,
            tenant=tenant,
            reason=request.POST.get("reason", "")[:500],
            now=clock.now(),
        )
        return reverse("portal:operation", args=[operation.id])

    return act(request, principal, back=_url(tenant), work=work)


@page(roles.TENANTS_READ, methods=("POST",))
def snapshot_restore(
    request: HttpRequest, principal: Principal, slug: str, snapshot_id: UUID
) -> HttpResponse:
    """Restores when the slug was typed out, else shows the list again."""
    tenant = _operable(principal, slug)
    if request.POST.get("confirm", "").strip() != tenant.slug:
        error = gettext("Type %(slug)s to confirm the restore.") % {"slug": tenant.slug}
        return _listed(request, principal, tenant, error=error, status=422)

    def work() -> str:
        operation = tenant_restore(
            principal=principal, tenant=tenant, snapshot_id=snapshot_id, now=clock.now()
        )
        return reverse("portal:operation", args=[operation.id])

    return act(request, principal, back=_url(tenant), work=work)


@page(roles.TENANTS_READ, methods=("POST",))
def snapshot_remove(request: HttpRequest, principal: Principal, slug: str, snapshot_id: UUID) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    access_require(principal, roles.TENANTS_WRITE)
    snapshot = snapshot_get(principal=principal, snapshot_id=snapshot_id, slug=slug)

    def work() -> str:
        snapshot_delete(principal=principal, snapshot=snapshot, now=clock.now())
        messages.success(request, gettext("The snapshot is deleted."))
        return _url(tenant)

    return act(request, principal, back=_url(tenant), work=work)


def _url(tenant: Tenant) -> str:
    return reverse("portal:tenant-snapshots", args=[tenant.slug])


def _operable(principal: Principal, slug: str) -> Tenant:
    """The tenant, for those who may operate it; a stranger learns nothing."""
    tenant = tenant_get(principal=principal, slug=slug)
    access_require(principal, roles.OPERATIONS_WRITE)
    return tenant
