"""One thing asked of several tenants: what it would do to each, and then what became of each."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require
from controlplane.core import clock
from controlplane.core.errors import Conflict, NotFound, ValidationFailed
from controlplane.operations.selectors import operations_visible
from controlplane.portal.pages import page, show
from controlplane.portal.spoken import refusal, spoken
from controlplane.tenants import states
from controlplane.tenants.bulk import (
    LABEL,
    MOST,
    PLAN,
    VERBS,
    bulk_begin,
    bulk_check,
    bulk_foresee,
    bulk_get,
    bulk_run,
    bulk_tenants,
)
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans

TITLES: Final[Mapping[str, str | Promise]] = {
    "suspend": gettext_lazy("Suspend"),
    "resume": gettext_lazy("Resume"),
    "upgrade": gettext_lazy("Upgrade the runtime"),
    "preview": gettext_lazy("Preview the plan"),
    "refresh": gettext_lazy("Refresh the state"),
    PLAN: gettext_lazy("Change the plan"),
    LABEL: gettext_lazy("Set a label"),
}
#: What it does to each tenant.
EFFECTS: Final[Mapping[str, str | Promise]] = {
    "suspend": gettext_lazy("Its runtime ends after the runs in flight: agents do not answer. Data stays."),
    "resume": gettext_lazy("Its runtime starts again."),
    "upgrade": gettext_lazy("Its runtime moves to the release that this control plane ships."),
    "preview": gettext_lazy("A plan is made and kept to look at. Nothing changes."),
    "refresh": gettext_lazy("The engine looks at what exists and corrects its state. Nothing changes."),
    PLAN: gettext_lazy("Its stack follows the plan; prices follow once that is applied."),
    LABEL: gettext_lazy("Its label is set at once. Nothing is deployed."),
}
#: What some actions ask for besides.
FIELDS: Final[Mapping[str, tuple[str, ...]]] = {LABEL: ("key", "value"), PLAN: ("plan",)}
#: The same for one tenant on the command line.
COMMANDS: Final[Mapping[str, str]] = {
    "suspend": "freehold tenants suspend {slug}",
    "resume": "freehold tenants resume {slug}",
    "upgrade": "freehold tenants upgrade {slug}",
    "preview": "freehold preview --tenant {slug}",
    "refresh": "freehold tenants refresh {slug}",
    PLAN: "freehold tenants update {slug} --plan {plan}",
}


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenants_bulk(request: HttpRequest, principal: Principal) -> HttpResponse:
    """What it would do to each tenant; sent, it is asked of each, and the answer is the page of outcomes."""
    access_require(principal, roles.TENANTS_WRITE)
    given = request.POST if request.method == "POST" else request.GET
    verb = given.get("verb", "")
    if verb and verb not in VERBS:
        raise NotFound("There is no such action for several tenants.")
    ids = tenant_ids_of(given)
    tenants = list(bulk_tenants(principal=principal, tenant_ids=ids)) if len(ids) <= MOST else []
    wanted = _wanted(verb, given)
    if len(ids) > MOST:
        error = _("At most %(most)s tenants at a time; %(chosen)s are chosen.") % {
            "most": MOST,
            "chosen": len(ids),
        }
        return _confirm(request, principal, verb, [], wanted, error=error, status=422)
    if request.method == "POST" and len(tenants) < len(ids):
        raise NotFound("There is no such tenant.")
    if not tenants or not verb or any(name not in given for name in FIELDS.get(verb, ())):
        return _confirm(request, principal, verb, tenants, wanted)
    try:
        bulk_check(verb=verb, tenants=tenants, wanted=wanted)
    except ValidationFailed as refused:
        return _confirm(
            request,
            principal,
            verb,
            tenants,
            wanted,
            error=spoken(refused.errors[0]["detail"]),
            status=refused.status,
        )
    if request.method != "POST":
        return _confirm(request, principal, verb, tenants, wanted, sure=True)
    if verb == "suspend" and request.POST.get("confirm") != "on":
        error = _("Tick the box: the agents of these tenants stop answering.")
        return _confirm(request, principal, verb, tenants, wanted, sure=True, error=error, status=422)
    try:
        bulk = bulk_begin(
            principal=principal,
            key=request.POST.get("form_key", "")[:64] or str(uuid4()),
            verb=verb,
            tenants=tenants,
            wanted=wanted,
            now=clock.now(),
        )
    except Conflict as refused:
        said = refusal(refused)
        return _confirm(request, principal, verb, tenants, wanted, error=said, status=refused.status)
    bulk_run(principal=principal, bulk=bulk, now=clock.now())
    return HttpResponseRedirect(reverse("portal:tenants-bulk-outcome", args=[bulk.id]))


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenants_bulk_outcome(request: HttpRequest, principal: Principal, bulk_id: UUID) -> HttpResponse:
    """What became of each; sent, those that were not asked yet are."""
    bulk, rows = bulk_get(principal=principal, bulk_id=bulk_id)
    if request.method == "POST":
        access_require(principal, roles.TENANTS_WRITE)
        bulk_run(principal=principal, bulk=bulk, now=clock.now())
        return HttpResponseRedirect(request.path)
    # Of each queued one, so that what waits for a person is seen here.
    queued = operations_visible(principal=principal).filter(pk__in=[row.operation_id for row in rows])
    now: dict[UUID | None, str] = {pk: state for pk, state in queued.order_by().values_list("pk", "state")}
    count = {state: sum(row.state == state for row in rows) for state in states.BULK_STATES}
    context = {
        "bulk": bulk,
        "rows": [{"tenant": row.tenant, "row": row, "now": now.get(row.operation_id, "")} for row in rows],
        "count": count,
        "title": TITLES[bulk.verb],
        "command": _command(bulk.verb, rows[0].tenant, bulk.wanted),
    }
    crumbs = ((_("Tenants"), reverse("portal:tenants")), (str(TITLES[bulk.verb]), ""))
    return show(
        request, principal, "portal/tenants_bulk_outcome.html", context, section="tenants", crumbs=crumbs
    )


def tenant_ids_of(given: QueryDict) -> list[UUID]:
    """Of ticked rows, or of a form that carries all of them in one field; each once, what is no id left out."""
    found: dict[UUID, None] = {}
    for raw in ",".join([*given.getlist("tenant"), given.get("tenants", "")]).split(","):
        try:
            found[UUID(raw.strip())] = None
        except ValueError:
            continue
    return list(found)


def _wanted(verb: str, given: QueryDict) -> dict[str, str]:
    return {name: given.get(name, "").strip()[:300] for name in FIELDS.get(verb, ())}


def _command(verb: str, tenant: Tenant, wanted: Mapping[str, str]) -> str:
    """Labels have none: the API sets them."""
    return COMMANDS.get(verb, "").format(slug=tenant.slug, **wanted)


def _confirm(
    request: HttpRequest,
    principal: Principal,
    verb: str,
    tenants: list[Tenant],
    wanted: dict[str, str],
    *,
    sure: bool = False,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    foreseen = bulk_foresee(verb=verb, tenants=tenants, wanted=wanted) if sure else []
    context = {
        "verb": verb,
        "title": TITLES.get(verb, _("Several tenants")),
        "effect": EFFECTS.get(verb, ""),
        "titles": TITLES,
        "tenants": tenants,
        "ids": ",".join(str(tenant.pk) for tenant in tenants),
        "foreseen": foreseen,
        "willing": sum(row.will for row in foreseen),
        "wanted": wanted,
        "sure": sure,
        "error": error,
        "plans": [(plan, plan.rate_card) for plan in plans().values()] if verb == PLAN else [],
        "command": _command(verb, tenants[0], wanted) if sure else "",
    }
    crumbs = ((_("Tenants"), reverse("portal:tenants")), (str(context["title"]), ""))
    return show(
        request,
        principal,
        "portal/tenants_bulk.html",
        context,
        section="tenants",
        crumbs=crumbs,
        status=status,
    )
