"""Invoices: the list, one invoice with what may be done to it, and the explanation of a line."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from billing.directory import BilledCustomer, directory
from billing.invoicing import services, states
from billing.invoicing.explain import line_explain
from billing.invoicing.models import Invoice
from billing.invoicing.selectors import invoice_find, invoices_visible, line_find
from billing.invoicing.shape import invoice_shape
from billing.period import period_parse
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require
from controlplane.core import clock
from controlplane.core.errors import NotFound, ValidationFailed
from controlplane.portal.listing import chosen, page_of
from controlplane.portal.pages import act, page, show
from controlplane.tenants.selectors import tenants_visible

#: What each verb's form asks for; the others ask nothing.
ASKS = {"void": "reason", "mark-uncollectible": "reason", "pay": "reference"}
VERBS = ("finalize", *ASKS)
EVENTS_SHOWN = 50


@page(roles.BILLING_READ)
def invoices(request: HttpRequest, principal: Principal) -> HttpResponse:
    filters = {
        "tenant": request.GET.get("tenant", "")[:40].strip(),
        "state": chosen(request.GET, "state", states.STATES),
        "period": _month(request.GET.get("period", "")),
    }
    everything = _visible(principal)
    found = everything
    if filters["tenant"]:
        named = tenants_visible(principal=principal).filter(slug__icontains=filters["tenant"])
        found = found.filter(tenant_id__in=named.values("pk"))
    if filters["state"]:
        found = found.filter(state=filters["state"])
    if filters["period"]:
        found = found.filter(period_start=period_parse(filters["period"]).start)
    now = clock.now()
    listed = page_of(found.order_by("-period_start", "-created_at", "-pk"), request.GET)
    context = {
        "found": listed,
        "rows": rows_of(principal, listed.object_list, now),
        "filters": filters,
        "filtered": any(filters.values()),
        "all_states": states.STATES,
        "counts": _counts(everything, now),
    }
    return show(
        request,
        principal,
        "portal/invoices.html",
        context,
        section="invoices",
        crumbs=((gettext("Invoices"), ""),),
    )


@page(roles.BILLING_READ)
def invoice(request: HttpRequest, principal: Principal, invoice_id: UUID) -> HttpResponse:
    return _invoice(request, principal, _found(principal, invoice_id))


def _invoice(
    request: HttpRequest, principal: Principal, found: Invoice, *, error: str = "", status: int = 200
) -> HttpResponse:
    now = clock.now()
    context = {
        "invoice": invoice_shape(found, due=services.amount_due(found)),
        "overdue": _is_overdue(found, now),
        "over": found.period_end <= now,
        "may": _may(principal, found),
        "form_error": error,
    }
    return show(
        request,
        principal,
        "portal/invoice.html",
        context,
        section="invoices",
        crumbs=((gettext("Invoices"), reverse("portal:invoices")), (found.number or gettext("Draft"), "")),
        status=status,
    )


@page(roles.BILLING_READ)
def invoice_line(request: HttpRequest, principal: Principal, invoice_id: UUID, line_id: UUID) -> HttpResponse:
    """Why the line is what it is; `after` is the cursor of a page of events."""
    found = _found(principal, invoice_id)
    line = line_find(invoice=found, line_id=line_id)
    after = request.GET.get("after") or None
    context = {
        "invoice": found,
        "line": line,
        "why": line_explain(invoice=found, line=line, limit=EVENTS_SHOWN, after=after),
        "first_page": after is None,
    }
    crumbs = (
        (gettext("Invoices"), reverse("portal:invoices")),
        (found.number or gettext("Draft"), reverse("portal:invoice", args=[found.pk])),
        (line.description, ""),
    )
    return show(request, principal, "portal/invoice_line.html", context, section="invoices", crumbs=crumbs)


@page(roles.BILLING_READ, methods=("POST",))
def invoice_verb(request: HttpRequest, principal: Principal, invoice_id: UUID, verb: str) -> HttpResponse:
    found = _found(principal, invoice_id)
    access_require(principal, roles.BILLING_WRITE)
    if verb not in VERBS:
        raise NotFound(gettext("There is nothing at this address."))
    asked = ASKS.get(verb, "")
    answer = request.POST.get(asked, "").strip()[:200] if asked else ""
    if asked and not answer:
        error = gettext("Say the reason first.") if asked == "reason" else gettext("Say the reference first.")
        return _invoice(request, principal, found, error=error, status=422)
    here = reverse("portal:invoice", args=[found.pk])

    def work() -> str:
        at, actor = clock.now(), principal.actor
        if verb == "finalize":
            services.invoice_finalize(invoice=found, customer=_customer(found), at=at, actor=actor)
        elif verb == "pay":
            services.invoice_pay(invoice=found, reference=answer, at=at, actor=actor)
        elif verb == "void":
            services.invoice_void(invoice=found, reason=answer, at=at, actor=actor)
        else:
            services.invoice_uncollectible(invoice=found, reason=answer, at=at, actor=actor)
        messages.success(request, gettext(DONE[verb]))
        return here

    return act(request, principal, back=here, work=work)


DONE = {
    "finalize": gettext_noop("The invoice is finalized and has its number."),
    "pay": gettext_noop("The payment is noted."),
    "void": gettext_noop("The invoice is void; its period can be invoiced anew."),
    "mark-uncollectible": gettext_noop("The invoice is marked uncollectible."),
}


@page(roles.BILLING_READ, methods=("POST",))
def invoice_draft(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Makes a month's draft anew, and shows it."""
    tenant = tenants_visible(principal=principal).filter(slug=slug).order_by("-created_at").first()
    if tenant is None:
        raise NotFound(gettext("There is no such tenant."))
    access_require(principal, roles.BILLING_WRITE)
    period = period_parse(request.POST.get("period", ""))

    def work() -> str:
        customer = directory().customer(tenant_id=tenant.pk)
        if customer is None:
            raise NotFound(gettext("There is no such tenant."))
        made = services.invoice_draft(customer=customer, period=period, at=clock.now(), actor=principal.actor)
        return reverse("portal:invoice", args=[made.pk])

    return act(request, principal, back=reverse("portal:tenant-billing", args=[slug]), work=work)


def rows_of(principal: Principal, found: Any, now: datetime) -> list[dict[str, Any]]:
    """Each invoice with the slug of its tenant, what is left to pay, and whether that is late."""
    listed = list(found)
    visible = tenants_visible(principal=principal).filter(pk__in={row.tenant_id for row in listed})
    return rows_told(listed, dict(visible.values_list("pk", "slug")), now)


def rows_told(found: Iterable[Invoice], slugs: Mapping[UUID, str], now: datetime) -> list[dict[str, Any]]:
    """The same where the slugs are known."""
    return [
        {
            "invoice": row,
            "slug": slugs.get(row.tenant_id, ""),
            "due": services.amount_due(row),
            "overdue": _is_overdue(row, now),
            "month": f"{row.period_start:%Y-%m}",
        }
        for row in found
    ]


def _visible(principal: Principal) -> QuerySet[Invoice]:
    return invoices_visible(team_id=principal.team_id, tenant_ids=principal.tenant_ids)


def _found(principal: Principal, invoice_id: UUID) -> Invoice:
    return invoice_find(team_id=principal.team_id, tenant_ids=principal.tenant_ids, invoice_id=invoice_id)


def _customer(found: Invoice) -> BilledCustomer:
    customer = directory().customer(tenant_id=found.tenant_id)
    if customer is None:
        raise NotFound(gettext("The invoice's tenant is gone."))
    return customer


def _is_overdue(found: Invoice, now: datetime) -> bool:
    return (
        found.state == states.FINALIZED
        and found.due_at is not None
        and found.due_at < now
        and services.amount_due(found) > Decimal(0)
    )


def _counts(found: QuerySet[Invoice], now: datetime) -> dict[str, int]:
    counted: dict[str, int] = found.order_by().aggregate(
        draft=Count("pk", filter=Q(state=states.DRAFT)),
        open=Count("pk", filter=Q(state=states.FINALIZED)),
        overdue=Count("pk", filter=Q(state=states.FINALIZED, due_at__lt=now)),
        paid=Count("pk", filter=Q(state=states.PAID)),
    )
    return counted


def _may(principal: Principal, found: Invoice) -> dict[str, bool]:
    """Which forms the page shows: what the state allows, to those who may bill."""
    allowed = access_allows(principal, roles.BILLING_WRITE)
    entered = {
        "finalize": states.FINALIZED,
        "pay": states.PAID,
        "void": states.VOID,
        "uncollectible": states.UNCOLLECTIBLE,
    }
    return {name: allowed and found.state in states.ALLOWED_FROM[to] for name, to in entered.items()}


def _month(raw: str) -> str:
    """A month that can be shown, else none: an old link should still open."""
    try:
        return period_parse(raw).key if raw else ""
    except ValidationFailed:
        return ""
