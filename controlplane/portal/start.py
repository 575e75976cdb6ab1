"""What now, once a tenant's stack is there: its address, a key, how its agents are called, and what is left to do."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from billing.budgets.selectors import budgets_of
from billing.metering.selectors import tenant_ran
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied
from controlplane.portal.calling import run_command, snippets_of
from controlplane.portal.key_roles import key_command, key_role_of, key_roles
from controlplane.portal.pages import once_shown, page
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants import states
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_activity import runtime_info
from controlplane.tenants.selectors import tenant_get, tenant_keys_issued
from controlplane.tenants.services import tenant_credentials_issue


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_start(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """A key that is asked for stands on this one answer alone: it is neither stored nor put in a URL."""
    found = tenant_get(principal=principal, slug=slug)
    if request.method != "POST":
        return _start(request, principal, found, request.GET.get("agent", ""))
    access_require(principal, roles.TENANTS_WRITE)
    name = request.POST.get("name", "").strip()[:100] or "portal"
    issued = once_shown(
        request,
        principal,
        back=reverse("portal:tenant-start", args=[found.slug]),
        work=lambda: tenant_credentials_issue(
            principal=principal, tenant=found, name=name, role=key_role_of(request), now=clock.now()
        ),
    )
    if isinstance(issued, HttpResponse):
        return issued
    return _start(
        request,
        principal,
        found,
        request.POST.get("agent", ""),
        key={"name": name, "token": issued["api_key"], "role": issued["role"]},
    )


def _start(
    request: HttpRequest,
    principal: Principal,
    tenant: Tenant,
    wanted: str,
    *,
    key: dict[str, str] | None = None,
) -> HttpResponse:
    context: dict[str, Any] = {
        "key": key,
        "key_roles": key_roles(principal),
        "key_command": key_command(tenant.slug),
        "is_active": tenant.lifecycle == states.ACTIVE,
        "run_command": run_command(tenant.slug),
    }
    try:
        info = runtime_info(principal=principal, tenant=tenant, now=clock.now())
        agents = [str(each.get("name", "")) for each in info.get("agents", [])]
        agent = wanted if wanted in agents else next(iter(agents), "")
        context |= {"agents": agents, "agent": agent}
        if agent:
            context["snippets"] = snippets_of(url=tenant.runtime_url, agent=agent)
    except (NotFound, PermissionDenied):
        raise
    except FreeholdError as error:
        context["trouble"] = error
    context["left"] = _left(principal, tenant, context, key is not None)
    context["done"] = sum(1 for each in context["left"] if each["done"])
    return tenant_frame(
        request, principal, "portal/tenant_start.html", tenant, context, tab="tenant", leaf=_("What now")
    )


def _left(principal: Principal, tenant: Tenant, shown: dict[str, Any], keyed: bool) -> list[dict[str, Any]]:
    """What a tenant needs before its customer uses it. `url` is empty where the person may not do it."""
    writes, bills = (access_allows(principal, scope) for scope in (roles.TENANTS_WRITE, roles.BILLING_WRITE))
    steps = (
        (
            bool(shown.get("agents")),
            _("The runtime serves an agent"),
            _("Agents are listed in the runtime's agents.toml."),
            reverse("portal:tenant-agents", args=[tenant.slug]),
            f"freehold tenants show {tenant.slug}",
        ),
        (
            keyed or tenant_keys_issued(tenant=tenant),
            _("A runtime key was issued"),
            _("Programs call the agents with it."),
            "#key" if writes else "",
            key_command(tenant.slug),
        ),
        (
            tenant_ran(tenant_id=tenant.id),
            _("A first run was counted"),
            _("Usage arrives a few seconds after a run has ended."),
            reverse("portal:playground", args=[tenant.slug]) if writes else "",
            shown["run_command"],
        ),
        (
            budgets_of(team_id=tenant.team_id, tenant_id=tenant.id).exists(),
            _("A budget says how much it may cost"),
            _("Without one nothing warns, and nothing stops, a month that grows too dear."),
            reverse("portal:tenant-budget-new", args=[tenant.slug]) if bills else "",
            f"freehold budgets set --tenant {tenant.slug} --amount 500",
        ),
    )
    return [dict(zip(("done", "title", "about", "url", "command"), each, strict=True)) for each in steps]
