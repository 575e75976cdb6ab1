"""Tenants: the list, and the tabs of one tenant."""

import csv
from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from billing.metering.selectors import tenant_ran
from billing.reports.sheet import cell_safe
from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.operations.selectors import HEAVY_FIELDS, operations_visible
from controlplane.portal.bulk import TITLES, tenant_ids_of
from controlplane.portal.calling import EXAMPLE_AGENT, snippets_of
from controlplane.portal.listing import Column, chosen, headings, order_of, ordered, page_of
from controlplane.portal.pages import page, show
from controlplane.portal.resource_graph import BOX_HEIGHT, BOX_WIDTH, resource_graph
from controlplane.portal.saved_views import saved_views_bar
from controlplane.tenants import states
from controlplane.tenants.bulk import MOST, bulk_tenants
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.selectors import tenant_get, tenant_health, tenants_search

SORTS = {
    "name": "name",
    "lifecycle": "lifecycle",
    "health": "health",
    "plan": "plan",
    "target": "target",
    "created": "created_at",
}
COLUMNS = (
    Column(gettext_noop("Tenant"), "name", narrow=False),
    Column(gettext_noop("Lifecycle"), "lifecycle", narrow=False),
    Column(gettext_noop("Health"), "health"),
    Column(gettext_noop("Billing")),
    Column(gettext_noop("Plan"), "plan"),
    Column(gettext_noop("Target"), "target"),
    Column(gettext_noop("Created"), "created", numeric=True),
)
FILE_COLUMNS = (
    "slug", "name", "plan", "target", "region", "lifecycle", "health", "billing", "contact_email", "created_at",
)  # fmt: skip
#: More tenants than one control plane has.
FILE_ROWS = 50_000
IN_PROGRESS = (states.REQUESTED, states.PROVISIONING, states.DEPROVISIONING)
#: (name in the URL, title); each is a page of its own
TABS = (
    ("tenant", gettext_noop("Summary")),
    ("tenant-resources", gettext_noop("Resources")),
    ("tenant-agents", gettext_noop("Agents")),
    ("tenant-operations", gettext_noop("Operations")),
    ("tenant-snapshots", gettext_noop("Snapshots")),
    ("tenant-usage", gettext_noop("Usage")),
    ("tenant-budgets", gettext_noop("Budgets")),
    ("tenant-cost", gettext_noop("Cost")),
    ("tenant-billing", gettext_noop("Billing")),
    ("tenant-settings", gettext_noop("Settings")),
)


def _filters(params: QueryDict) -> dict[str, str]:
    return {
        "q": params.get("q", "")[:200],
        "lifecycle": chosen(params, "lifecycle", states.LIFECYCLES),
        "health": chosen(params, "health", states.HEALTHS),
        "plan": chosen(params, "plan", tuple(plans())),
    }


@page(roles.TENANTS_READ)
def tenants(request: HttpRequest, principal: Principal) -> HttpResponse:
    params = request.GET
    filters = _filters(params)
    order = order_of(params, SORTS, "-created")
    found = page_of(
        ordered(tenants_search(principal=principal, filters=filters), order, SORTS),
        params,
    )
    everyone = tenants_search(principal=principal, filters={})
    counts: dict[str, int] = everyone.aggregate(
        total=Count("pk"),
        active=Count("pk", filter=Q(lifecycle=states.ACTIVE)),
        busy=Count("pk", filter=Q(lifecycle__in=IN_PROGRESS)),
        failed=Count("pk", filter=Q(lifecycle=states.FAILED)),
        degraded=Count("pk", filter=Q(health=states.DEGRADED)),
        unhealthy=Count("pk", filter=Q(health=states.UNHEALTHY)),
    )
    context = {
        "found": found,
        "filters": filters,
        "filtered": any(filters.values()),
        "sort": order.text,
        "headings": headings(COLUMNS, order, params),
        "counts": counts,
        "lifecycles": states.LIFECYCLES,
        "healths": states.HEALTHS,
        "plans": plans().values(),
        "bulk_titles": TITLES,
        **saved_views_bar(principal, "tenants", params),
    }
    return show(
        request,
        principal,
        "portal/tenants.html",
        context,
        section="tenants",
        crumbs=((gettext("Tenants"), ""),),
    )


@page(roles.TENANTS_READ)
def tenants_file(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The list as it is filtered and ordered, or its ticked rows, as CSV."""
    order = order_of(request.GET, SORTS, "-created")
    ticked = tenant_ids_of(request.GET)
    if ticked:
        found = bulk_tenants(principal=principal, tenant_ids=ticked[:MOST])
    else:
        found = tenants_search(principal=principal, filters=_filters(request.GET))
    found = ordered(found, order, SORTS)
    answer = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="tenants.csv"'},
    )
    sheet = csv.writer(answer)
    sheet.writerow(FILE_COLUMNS)
    for row in found.values_list(*FILE_COLUMNS)[:FILE_ROWS].iterator():
        sheet.writerow([cell_safe(str(value)) for value in (*row[:-1], clock.moment_text(row[-1]))])
    return answer


def tenant_frame(
    request: HttpRequest,
    principal: Principal,
    template: str,
    tenant: Tenant,
    context: dict[str, Any],
    *,
    tab: str,
    leaf: str = "",
    status: int = 200,
) -> HttpResponse:
    """One tab of a tenant under the header all of them share; `leaf` names a page below the tab."""
    plan = plans().get(tenant.plan)
    title = gettext(dict(TABS)[tab])
    ends = ((title, reverse(f"portal:{tab}", args=[tenant.slug])), (leaf, "")) if leaf else ((title, ""),)
    summary = tab == "tenant" and not leaf
    tenant_crumb = (tenant.name, "" if summary else reverse("portal:tenant", args=[tenant.slug]))
    crumbs = ((gettext("Tenants"), reverse("portal:tenants")), tenant_crumb)
    frame = {
        "tenant": tenant,
        # Tabs of the browser and its history tell the pages of a tenant apart by this.
        "title_words": [leaf or title, tenant.name] if leaf or not summary else [tenant.name],
        "plan": plan,
        "tab": tab,
        "tabs": [
            {"key": key, "title": gettext(text), "url": reverse(f"portal:{key}", args=[tenant.slug])}
            for key, text in TABS
        ],
        "running": Operation.objects.filter(tenant=tenant, state__in=operation_states.OPEN)
        .order_by("-created_at")
        .first(),
        "stack": getattr(tenant, "stack", None),
    }
    return show(
        request,
        principal,
        template,
        {**frame, **context},
        section="tenants",
        crumbs=crumbs if summary else (*crumbs, *(ends[-1:] if tab == "tenant" else ends)),
        status=status,
    )


@page(roles.TENANTS_READ)
def tenant(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    stack = getattr(found, "stack", None)
    recent = list(operations_visible(principal=principal).filter(tenant=found).order_by("-created_at")[:6])
    failed = recent[0] if recent and recent[0].state == operation_states.FAILED else None
    snippets = snippets_of(url=found.runtime_url, agent=EXAMPLE_AGENT)
    context = {
        "look": tenant_health(tenant=found, now=clock.now()),
        "components": (stack.outputs or {}).get("components", []) if stack else [],
        "recent": recent,
        "failed": failed,
        "waits_for_run": found.lifecycle == states.ACTIVE and not tenant_ran(tenant_id=found.id),
        "snippet_python": snippets["langgraph-sdk"],
        "snippet_curl": snippets["curl"],
    }
    return tenant_frame(request, principal, "portal/tenant.html", found, context, tab="tenant")


@page(roles.TENANTS_READ)
def tenant_resources(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    stack = getattr(found, "stack", None)
    resources = list(stack.resources or []) if stack else []
    text = request.GET.get("q", "")[:200].strip().lower()
    shown = [
        row
        for row in resources
        if text in f"{row.get('name', '')} {row.get('type', '')} {row.get('id', '')}".lower()
    ]
    context = {
        "resources": shown,
        "total": len(resources),
        "q": text,
        # What a filter leaves is no whole: the graph stands above all resources only.
        "graph": None if text else resource_graph(resources),
        "box": {"width": BOX_WIDTH, "height": BOX_HEIGHT},
    }
    return tenant_frame(
        request, principal, "portal/tenant_resources.html", found, context, tab="tenant-resources"
    )


@page(roles.OPERATIONS_READ)
def tenant_operations(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    rows = operations_visible(principal=principal).filter(tenant=found).order_by("-created_at", "-pk")
    context = {"found": page_of(rows.defer(*HEAVY_FIELDS), request.GET)}
    return tenant_frame(
        request, principal, "portal/tenant_operations.html", found, context, tab="tenant-operations"
    )
