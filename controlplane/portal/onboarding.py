"""The form that asks for a tenant."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, PermissionDenied
from controlplane.portal.pages import once, page, show
from controlplane.tenants.plans import Plan, plans
from controlplane.tenants.services import tenant_create
from controlplane.tenants.targets import targets_offered

FIELDS = ("name", "slug", "plan", "target", "contact_email")


def plan_gets(plan: Plan) -> list[tuple[str, str]]:
    """What a tenant on the plan gets, as (icon, sentence)."""
    sizes, limits = plan.sizes, plan.limits
    gpus = sizes.gpu.count
    return [
        ("cpu", "No GPU" if gpus == 0 else f"{gpus} dedicated GPU{'s' if gpus > 1 else ''}"),
        ("brain-circuit", f"{limits.agents} agents, {limits.concurrent_runs} runs at once"),
        ("database", f"Own Postgres, {sizes.postgres.max_connections} connections"),
        ("zap", f"Own Redis, {sizes.cache.max_memory_mb} MB"),
        ("boxes", f"Own vector store, {limits.storage_gb} GB in all"),
        ("user-round", f"Up to {limits.users:,} users"),
        *([("shield-check", "Protected against deletion")] if plan.deletion_protection else []),
    ]


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_new(request: HttpRequest, principal: Principal) -> HttpResponse:
    if roles.TENANTS_WRITE not in principal.scopes:
        raise PermissionDenied(
            "Onboarding a tenant needs the scope tenants:write.",
            hint="Ask an owner of your team for the role operator.",
        )
    if request.method != "POST":
        first_plan, first_target = next(iter(plans())), next(iter(targets_offered()), "")
        values = {"plan": first_plan, "target": first_target, **_given(request.GET.dict())}
        return _form(request, principal, values, {}, "")
    values = _given(request.POST.dict())
    try:
        return once(request, principal, lambda: _create(principal, values))
    except PermissionDenied:
        raise
    except FreeholdError as error:
        problems = {
            problem["pointer"].strip("/").split("/")[0]: problem["detail"] for problem in error.errors
        }
        beside = {name: text for name, text in problems.items() if name in FIELDS}
        general = "" if beside else f"{error.detail} {error.hint}".strip()
        return _form(request, principal, values, beside, general, status=error.status)


def _given(raw: dict[str, Any]) -> dict[str, str]:
    known = (*FIELDS, "requires_approval")
    return {name: str(raw[name]).strip()[:500] for name in known if name in raw}


def _create(principal: Principal, values: dict[str, str]) -> str:
    _, operation = tenant_create(
        principal=principal,
        slug=values.get("slug", ""),
        name=values.get("name", ""),
        plan=values.get("plan", ""),
        target=values.get("target", ""),
        contact_email=values.get("contact_email", ""),
        requires_approval=values.get("requires_approval") == "on",
        now=clock.now(),
    )
    return reverse("portal:operation", args=[operation.id])


def _form(
    request: HttpRequest,
    principal: Principal,
    values: dict[str, str],
    errors: dict[str, str],
    general: str,
    *,
    status: int = 200,
) -> HttpResponse:
    context = {
        "values": values,
        "errors": errors,
        "general": general,
        "plans": [
            {"plan": plan, "gets": plan_gets(plan), "base_fee": plan.rate_card["base_fee"]}
            for plan in plans().values()
        ],
        "targets": [(key, target.name, target.description) for key, target in targets_offered().items()],
    }
    crumbs = (("Tenants", reverse("portal:tenants")), ("New tenant", ""))
    return show(
        request,
        principal,
        "portal/tenant_new.html",
        context,
        section="tenants",
        crumbs=crumbs,
        status=status,
    )
