"""Onboarding: the form that asks for a tenant, and the review of what would be made, before anything is."""

import re
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop, ngettext

from contracts.plan_document import assessment_representation, cost_representation
from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.core.errors import FieldProblem, FreeholdError, NotFound, PermissionDenied, ValidationFailed
from controlplane.portal.figures import quantity_text
from controlplane.portal.listing import chosen
from controlplane.portal.pages import once, page, show
from controlplane.portal.plan_table import plan_table
from controlplane.portal.spoken import refusal, spoken
from controlplane.tenants.drafts import draft_plan_get, draft_plan_request
from controlplane.tenants.overrides import sizes_merge
from controlplane.tenants.plans import Plan, plans
from controlplane.tenants.services import tenant_create
from controlplane.tenants.targets import LOCAL, targets_offered

FIELDS = ("name", "slug", "plan", "target", "region", "contact_email")
#: Sizes that may differ from the plan's: (part, field, label, unit). Cloud machine types are the API's to override.
SIZES: Final = (
    ("postgres", "max_connections", gettext_noop("Postgres connections"), ""),
    ("postgres", "storage_gb", gettext_noop("Postgres storage"), "GB"),
    ("cache", "max_memory_mb", gettext_noop("Redis memory"), "MB"),
    ("vector_store", "storage_gb", gettext_noop("Vector store storage"), "GB"),
    ("gpu", "count", gettext_noop("GPUs"), ""),
    ("runtime", "workers", gettext_noop("Runtime workers"), ""),
)
_STEPS: Final = ("edit", "review", "create")
#: A worker that is free has the plan by then.
_LATE: Final = timedelta(seconds=20)


def plan_gets(plan: Plan) -> list[tuple[str, str]]:
    """What a tenant on the plan gets, as (icon, sentence)."""
    sizes, limits = plan.sizes, plan.limits
    gpus = sizes.gpu.count
    dedicated = ngettext("%(number)d dedicated GPU", "%(number)d dedicated GPUs", gpus)
    return [
        ("cpu", gettext("No GPU") if gpus == 0 else dedicated % {"number": gpus}),
        (
            "brain-circuit",
            gettext("%(agents)d agents, %(runs)d runs at once")
            % {"agents": limits.agents, "runs": limits.concurrent_runs},
        ),
        (
            "database",
            gettext("Own Postgres, %(number)d connections") % {"number": sizes.postgres.max_connections},
        ),
        ("zap", gettext("Own Redis, %(size)d MB") % {"size": sizes.cache.max_memory_mb}),
        ("boxes", gettext("Own vector store, %(size)d GB in all") % {"size": limits.storage_gb}),
        ("user-round", gettext("Up to %(number)s users") % {"number": quantity_text(limits.users)}),
        *([("shield-check", gettext("Protected against deletion"))] if plan.deletion_protection else []),
    ]


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_new(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The form; posted with `step=review` it leads to what would be made, and without a step to the tenant itself."""
    _demand_write(principal)
    if request.method != "POST":
        first_plan, first_target = next(iter(plans())), next(iter(targets_offered()), "")
        values = {"plan": first_plan, "target": first_target, **_given(request.GET.dict())}
        return _form(request, principal, values, {}, "")
    values = _given(request.POST.dict())
    step = chosen(request.POST, "step", _STEPS) or "create"
    if step == "edit":
        return _form(request, principal, values, {}, "")
    try:
        if step == "review":
            draft_id = draft_plan_request(
                principal=principal, asked=values, now=clock.now(), **_wanted(values)
            )
            return HttpResponseRedirect(reverse("portal:tenant-review", args=[draft_id]))
        return once(request, principal, lambda: _create(principal, values))
    except PermissionDenied:
        raise
    except FreeholdError as error:
        problems = {_field_of(problem["pointer"]): spoken(problem["detail"]) for problem in error.errors}
        known = {*FIELDS, *(f"{part}_{field}" for part, field, _, _ in SIZES)}
        beside = {name: text for name, text in problems.items() if name in known}
        general = "" if beside else refusal(error)
        return _form(request, principal, values, beside, general, status=error.status)


def _demand_write(principal: Principal) -> None:
    if roles.TENANTS_WRITE not in principal.scopes:
        raise PermissionDenied(
            gettext("Onboarding a tenant needs the scope tenants:write."),
            hint=gettext("Ask an owner of your team for the role operator."),
        )


def _field_of(pointer: str) -> str:
    """`/overrides/gpu/count` is the field `gpu_count`."""
    return "_".join(pointer.strip("/").removeprefix("overrides/").split("/"))


def _given(raw: dict[str, Any]) -> dict[str, str]:
    known = (*FIELDS, "requires_approval", *(f"{part}_{field}" for part, field, _, _ in SIZES))
    return {name: str(raw[name]).strip()[:500] for name in known if name in raw}


def _overrides(values: dict[str, str]) -> dict[str, dict[str, int]]:
    """What was filled in. Raises ValidationFailed for what is no whole number."""
    found: dict[str, dict[str, int]] = {}
    problems: list[FieldProblem] = []
    for part, field, _, _ in SIZES:
        raw = values.get(f"{part}_{field}", "")
        if not raw:
            continue
        if not re.fullmatch(r"[0-9]{1,9}", raw):
            problems.append(
                {"pointer": f"/overrides/{part}/{field}", "detail": gettext("must be a whole number")}
            )
            continue
        found.setdefault(part, {})[field] = int(raw)
    if problems:
        raise ValidationFailed(gettext("Some sizes are no whole numbers."), errors=problems)
    return found


def _wanted(values: dict[str, str]) -> dict[str, Any]:
    target = values.get("target", "")
    region = values.get("region", "")
    offered = targets_offered()
    # Without scripts the list shows every target's regions: one that is another target's was not chosen on purpose.
    others = {name for key, each in offered.items() if key != target for name in each.regions}
    own = offered[target].regions if target in offered else ()
    return {
        "slug": values.get("slug", ""),
        "name": values.get("name", ""),
        "plan": values.get("plan", ""),
        "target": target,
        "region": None if not region or (region in others and region not in own) else region,
        "contact_email": values.get("contact_email", ""),
        "overrides": _overrides(values),
    }


def _create(principal: Principal, values: dict[str, str]) -> str:
    _, operation = tenant_create(
        principal=principal,
        requires_approval=values.get("requires_approval") == "on",
        now=clock.now(),
        **_wanted(values),
    )
    return reverse("portal:operation", args=[operation.id])


@page(roles.TENANTS_READ)
def tenant_review(request: HttpRequest, principal: Principal, draft_id: UUID) -> HttpResponse:
    _demand_write(principal)
    drafted = _draft_context(principal, draft_id)
    values = drafted["draft"].asked
    wanted = _wanted(values)
    plan = plans()[wanted["plan"]]
    target = targets_offered()[wanted["target"]]
    sizes = sizes_merge(plan, wanted["overrides"], target=wanted["target"]).model_dump()
    usual = plan.sizes.model_dump()
    context = {
        "values": values,
        "plan": plan,
        "target": target,
        "region": wanted["region"] or target.regions[0],
        "base_fee": plan.rate_card["base_fee"],
        "currency": plan.rate_card["currency"],
        "sizes": [
            {
                "label": gettext(label),
                "unit": unit,
                "value": sizes[part][field],
                "usual": usual[part][field],
                "changed": sizes[part][field] != usual[part][field],
            }
            for part, field, label, unit in SIZES
            # A tenant on this machine has no disks of its own, so their sizes would promise something.
            if not (wanted["target"] == LOCAL and field == "storage_gb")
        ],
        **drafted,
    }
    return show(
        request,
        principal,
        "portal/tenant_review.html",
        context,
        section="tenants",
        crumbs=_crumbs(gettext("Review")),
    )


@page(roles.TENANTS_READ)
def tenant_draft(request: HttpRequest, principal: Principal, draft_id: UUID) -> HttpResponse:
    """The plan of the review, once a worker has it; a part of that page, asked for again while it waits."""
    _demand_write(principal)
    return render(request, "portal/_tenant_draft.html", _draft_context(principal, draft_id))


def _draft_context(principal: Principal, draft_id: UUID) -> dict[str, Any]:
    draft = draft_plan_get(principal=principal, draft_id=draft_id)
    if not draft.asked:  # of the API: it says what was wanted, and not what was typed into a form
        raise NotFound(gettext("There is no such draft any more."))
    late = draft.state == "waiting" and clock.now() - draft.asked_at > _LATE
    context: dict[str, Any] = {"draft": draft, "draft_id": draft_id, "late": late}
    if draft.result is not None:
        assessment = draft.result.assessment.model_dump(mode="json")
        judged = assessment_representation(assessment)
        context["planned"] = plan_table(draft.result.plan, judged["policy"]["findings"])
        context["judgement"] = {"cost": cost_representation(assessment), **judged}
    return context


def _crumbs(last: str) -> tuple[tuple[str, str], ...]:
    return (
        (gettext("Tenants"), reverse("portal:tenants")),
        (gettext("New tenant"), reverse("portal:tenant-new")),
        (last, ""),
    )


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
        "targets": [
            (key, target.name, spoken(target.description)) for key, target in targets_offered().items()
        ],
        "regions": [
            (region, key, target.name)
            for key, target in targets_offered().items()
            for region in target.regions
        ],
        "sizes": [
            {
                "name": f"{part}_{field}",
                "label": gettext(label),
                "unit": unit,
                "value": values.get(f"{part}_{field}", ""),
                "error": errors.get(f"{part}_{field}", ""),
            }
            for part, field, label, unit in SIZES
        ],
        "sizes_given": any(values.get(f"{part}_{field}") for part, field, _, _ in SIZES),
    }
    crumbs = ((gettext("Tenants"), reverse("portal:tenants")), (gettext("New tenant"), ""))
    return show(
        request,
        principal,
        "portal/tenant_new.html",
        context,
        section="tenants",
        crumbs=crumbs,
        status=status,
    )
