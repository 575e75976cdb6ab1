"""A tenant's settings: name, labels and plan, credentials, protection, operations on request, and deletion."""

from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied, ValidationFailed
from controlplane.portal.details import details_errors, details_read, details_sent, details_shown
from controlplane.portal.key_roles import key_role_of, key_roles
from controlplane.portal.pages import act, once, once_shown, page
from controlplane.portal.presence import presence_demand, presence_is_recent
from controlplane.portal.spoken import spoken
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.releases import release_of, releases_known
from controlplane.tenants.selectors import tenant_get, tenant_keys_given
from controlplane.tenants.services import (
    deletion_needs_second,
    tenant_credentials_issue,
    tenant_delete,
    tenant_operate,
    tenant_update,
)
from controlplane.tenants.targets import AWS, LOCAL

KEYS_SHOWN: Final = 10


@page(roles.TENANTS_READ)
def tenant_settings(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    return _settings(request, principal, tenant_get(principal=principal, slug=slug))


def _settings(
    request: HttpRequest,
    principal: Principal,
    tenant: Tenant,
    *,
    confirm_error: str = "",
    suspend_error: str = "",
    password_error: str = "",
    details: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "details": details or details_shown(tenant),
        "confirm_error": confirm_error,
        "password_error": password_error,
        "asks_password": not presence_is_recent(request),
        "suspend_error": suspend_error,
        "accepts_operations": tenant.lifecycle in states.ACCEPTS["update"],
        "accepts": [kind for kind, lifecycles in states.ACCEPTS.items() if tenant.lifecycle in lifecycles],
        "accepts_deletion": tenant.lifecycle in states.ACCEPTS["deprovision"],
        "release": release_of(tenant),
        "releases": releases_known(),
        "is_active": tenant.lifecycle == states.ACTIVE,
        "key_roles": key_roles(principal),
        "keys_given": tenant_keys_given(tenant=tenant, most=KEYS_SHOWN),
        "is_production": deletion_needs_second(tenant),
        "final_snapshot_by": {LOCAL: "us", AWS: "rds"}.get(tenant.target, ""),
        "retention_days": settings.FREEHOLD_SNAPSHOT_RETENTION_DAYS,
    }
    return tenant_frame(
        request,
        principal,
        "portal/tenant_settings.html",
        tenant,
        context,
        tab="tenant-settings",
        status=status,
    )


def _settings_url(tenant: Tenant) -> str:
    return reverse("portal:tenant-settings", args=[tenant.slug])


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_details(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Changes name, labels and plan; a new plan queues the operation that brings the stack to it."""
    tenant = _writable(principal, slug)
    if request.method != "POST":
        return HttpResponseRedirect(_settings_url(tenant))
    values = details_sent(request.POST, tenant)
    known = request.POST.get("etag", "")

    def work() -> str:
        changed, operation = tenant_update(
            principal=principal,
            tenant=tenant,
            changes=details_read(values),
            etags={known} if known else None,
            now=clock.now(),
        )
        if operation is not None:
            return reverse("portal:operation", args=[operation.id])
        if changed.updated_at == tenant.updated_at:
            messages.success(request, gettext("Nothing was different, so nothing was changed."))
        else:
            messages.success(request, gettext("%(slug)s is changed.") % {"slug": tenant.slug})
        return _settings_url(tenant)

    try:
        return once(request, principal, work)
    except (NotFound, PermissionDenied):
        raise
    except FreeholdError as error:
        tenant.refresh_from_db()
        shown = details_shown(tenant, values, details_errors(error))
        return _settings(request, principal, tenant, details=shown, status=error.status)


@page(roles.TENANTS_READ, methods=("POST",))
def tenant_protection(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = _writable(principal, slug)
    wanted = request.POST.get("deletion_protection") == "on"

    def work() -> str:
        tenant_update(
            principal=principal, tenant=tenant, changes={"deletion_protection": wanted}, now=clock.now()
        )
        said = (
            gettext("%(slug)s is now protected against deletion.")
            if wanted
            else gettext("%(slug)s may now be deleted.")
        )
        messages.success(request, said % {"slug": tenant.slug})
        return _settings_url(tenant)

    return act(request, principal, back=_settings_url(tenant), work=work)


@page(roles.TENANTS_READ, methods=("POST",))
def tenant_operation_new(request: HttpRequest, principal: Principal, slug: str, verb: str) -> HttpResponse:
    tenant = _writable(principal, slug)
    if verb not in states.VERBS:
        raise NotFound(gettext("There is no such operation."))
    if verb == "suspend" and request.POST.get("confirm") != "on":
        error = gettext("Tick the box: the tenant's agents stop answering.")
        return _settings(request, principal, tenant, suspend_error=error, status=422)

    def work() -> str:
        operation = tenant_operate(
            principal=principal,
            tenant=tenant,
            kind=states.VERBS[verb],
            reason=request.POST.get("reason", "")[:500],
            requires_approval=request.POST.get("requires_approval") == "on",
            version=request.POST.get("version") or None,
            now=clock.now(),
        )
        return reverse("portal:operation", args=[operation.id])

    return act(request, principal, back=_settings_url(tenant), work=work)


@page(roles.TENANTS_READ, methods=("POST",))
def tenant_remove(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Deletes when the slug was typed out by somebody who signed in lately, else shows the form again."""
    tenant = _writable(principal, slug)
    if request.POST.get("confirm", "").strip() != tenant.slug:
        error = gettext("Type %(slug)s to confirm.") % {"slug": tenant.slug}
        return _settings(request, principal, tenant, confirm_error=error, status=422)
    try:
        presence_demand(request)
    except ValidationFailed as error:
        wrong = spoken(error.errors[0]["detail"])
        return _settings(request, principal, tenant, password_error=wrong, status=error.status)

    def work() -> str:
        operation = tenant_delete(
            principal=principal,
            tenant=tenant,
            reason=request.POST.get("reason", "")[:500],
            skip_final_snapshot=request.POST.get("skip_final_snapshot") == "on",
            now=clock.now(),
        )
        return reverse("portal:operation", args=[operation.id])

    return act(request, principal, back=_settings_url(tenant), work=work)


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_credentials(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Issues a runtime key and shows it on this answer alone: it is neither stored nor put in a URL."""
    tenant = _writable(principal, slug)
    if request.method != "POST":
        return HttpResponseRedirect(_settings_url(tenant))
    name = request.POST.get("name", "").strip()[:100] or "portal"
    issued = once_shown(
        request,
        principal,
        back=_settings_url(tenant),
        work=lambda: tenant_credentials_issue(
            principal=principal, tenant=tenant, name=name, role=key_role_of(request), now=clock.now()
        ),
    )
    if isinstance(issued, HttpResponse):
        return issued
    return tenant_frame(
        request,
        principal,
        "portal/tenant_credentials.html",
        tenant,
        {"issued": issued, "key_name": name},
        tab="tenant-settings",
        leaf=gettext("Runtime key"),
    )


def _writable(principal: Principal, slug: str) -> Tenant:
    """The tenant, for those who may change it; a stranger learns nothing, not even that it is forbidden."""
    tenant = tenant_get(principal=principal, slug=slug)
    access_require(principal, roles.TENANTS_WRITE)
    return tenant
