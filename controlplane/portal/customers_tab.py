"""Customer access: which of a tenant's own people may sign in, and the form that invites one."""

import secrets
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require, access_require_team
from controlplane.accounts.invitations import invitation_create
from controlplane.accounts.models import Invitation
from controlplane.accounts.selectors import customers_of, invitations_open
from controlplane.core import clock
from controlplane.core.errors import FreeholdError
from controlplane.portal.access import issued_shown
from controlplane.portal.pages import once_shown, page
from controlplane.portal.spoken import refusal, spoken
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_customers(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """The list, and the form that invites: its answer shows the link, once."""
    tenant = tenant_get(principal=principal, slug=slug)
    access_require(principal, roles.ADMIN)
    access_require_team(principal)
    if request.method != "POST":
        return _customers(request, principal, tenant)
    email = request.POST.get("email", "").strip()[:500]

    def work() -> tuple[Invitation, str]:
        return invitation_create(
            principal=principal,
            email=email,
            role=roles.CUSTOMER,
            tenant_ids=[tenant.id],
            secret=secrets.token_urlsafe(32),
            now=clock.now(),
        )

    def refused(error: FreeholdError) -> HttpResponse:
        told = spoken(error.errors[0]["detail"]) if error.errors else refusal(error)
        return _customers(request, principal, tenant, email=email, error=told, status=error.status)

    here = reverse("portal:tenant-customers", args=[tenant.slug])
    made = once_shown(request, principal, back=here, work=work, refused=refused)
    if isinstance(made, HttpResponse):
        return made
    return _customers(request, principal, tenant, issued=issued_shown(*made))


def _customers(
    request: HttpRequest,
    principal: Principal,
    tenant: Tenant,
    *,
    email: str = "",
    error: str = "",
    issued: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    invited = invitations_open(team_id=principal.team_id, now=clock.now())
    context = {
        "people": list(customers_of(team_id=principal.team_id, tenant_id=tenant.id)),
        "invited": list(invited.filter(role=roles.CUSTOMER, tenant_ids=[tenant.id])),
        "email": email,
        "error": error,
        "issued": issued,
    }
    return tenant_frame(
        request,
        principal,
        "portal/tenant_customers.html",
        tenant,
        context,
        tab="tenant-settings",
        leaf=_("Customer access"),
        status=status,
    )
