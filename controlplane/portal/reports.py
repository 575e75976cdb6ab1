"""Usage reports for people without a login: sent by the clock, or read by a link that is shown once."""

import secrets
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, gettext_lazy, gettext_noop

from billing.reports.links import (
    DEFAULT_DAYS,
    report_link_create,
    report_link_representation,
    report_link_revoke,
    report_links_of,
)
from billing.reports.models import (
    ALL,
    CADENCES,
    INVOICES,
    USAGE,
    ReportDelivery,
    ReportLink,
    ReportSchedule,
)
from billing.reports.render import FORMATS
from billing.reports.schedules import (
    report_schedule_create,
    report_schedule_delete,
    report_schedule_update,
    report_schedules_of,
)
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require, access_require_team
from controlplane.core import clock
from controlplane.core.errors import NotFound
from controlplane.portal.figures import day_text
from controlplane.portal.pages import act, once_shown, page, show
from controlplane.portal.tenants import tenant_frame
from controlplane.portal.webhooks import report_sample
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get

#: How many days a link may be read, as the form offers it.
LIFETIMES: Final = (7, DEFAULT_DAYS, 90, 366)
VERBS: Final = ("pause", "resume", "delete")
DELIVERIES_SHOWN: Final = 3
LINKS_SHOWN: Final = 20
SECRET_BYTES: Final = 32
#: How much a link shows, in words.
SCOPES: Final = {
    USAGE: gettext_lazy("usage"),
    INVOICES: gettext_lazy("usage and invoices"),
    ALL: gettext_lazy("usage, invoices, health and agents"),
}
DONE: Final = {
    "pause": gettext_noop("The schedule is paused; times that pass meanwhile are not caught up on."),
    "resume": gettext_noop("The schedule goes on with its next time."),
    "delete": gettext_noop("The schedule is deleted."),
}


def reports_context(principal: Principal, tenant: Tenant | None, now: datetime) -> dict[str, Any]:
    """What the part _reports.html shows; links are a tenant's alone."""
    newest = (
        ReportDelivery.objects.filter(schedule_id=OuterRef("pk"))
        .order_by("-due_on")
        .values(json=JSONObject(period="period", written_at="written_at", problem="problem"))
    )
    # In the same query: a page that shows a whole report has none to spare.
    schedules = _schedules(principal, tenant).annotate(newest=ArraySubquery(newest[:DELIVERIES_SHOWN]))
    links = (
        [] if tenant is None else report_links_of(tenant_id=tenant.id).order_by("-created_at")[:LINKS_SHOWN]
    )
    return {
        "schedules": list(schedules.order_by("-created_at", "-pk")),
        "links": [report_link_representation(link, now=now) for link in links],
        "cadences": CADENCES,
        "formats": FORMATS,
        "lifetimes": LIFETIMES,
        "scopes": SCOPES,
        "default_days": DEFAULT_DAYS,
        "may_report": access_allows(principal, roles.BILLING_WRITE),
        "reports_url": _url(tenant),
        "report_sample": report_sample(tenant=tenant.slug if tenant else None, now=now),
    }


@page(roles.BILLING_READ, methods=("POST",))
def schedule_new(request: HttpRequest, principal: Principal, slug: str | None = None) -> HttpResponse:
    tenant = _whose(principal, slug)
    access_require(principal, roles.BILLING_WRITE)

    webhook_url = request.POST.get("webhook_url", "").strip()[:2000]

    def make() -> tuple[ReportSchedule, str | None]:
        return report_schedule_create(
            team_id=principal.team_id,
            tenant_id=tenant.id if tenant else None,
            cadence=request.POST.get("cadence", ""),
            format=request.POST.get("format", ""),
            emails=request.POST.get("emails", "")[:6000].replace(",", " ").split(),
            webhook_url=webhook_url or None,
            actor=principal.actor,
            now=clock.now(),
            secret_bytes=secrets.token_bytes(SECRET_BYTES),
        )

    def work() -> str:
        messages.success(request, _next_said(make()[0]))
        return _url(tenant)

    if not webhook_url:
        return act(request, principal, back=_url(tenant), work=work)
    shown = once_shown(request, principal, back=_url(tenant), work=make)
    if isinstance(shown, HttpResponse):
        return shown
    made, secret = shown
    context = {
        "base": "portal/tenant_frame.html" if tenant else "portal/fleet_frame.html",
        "said": _next_said(made),
        "secret": secret,
        "webhook_url": webhook_url,
        "done_url": _url(tenant),
    }
    if tenant is not None:
        return tenant_frame(
            request, principal, "portal/webhook_secret.html", tenant, context, tab="tenant-usage"
        )
    title = gettext("Usage")
    crumbs = ((title, _url(None)), (gettext("Webhook"), ""))
    framed = {**context, "page_title": title}
    return show(request, principal, "portal/webhook_secret.html", framed, section="usage", crumbs=crumbs)


def _next_said(made: ReportSchedule) -> str:
    local = timezone.localtime(made.next_at)
    at = f"{day_text(local)}, {local:%H:%M %Z}"
    return gettext("The report is sent next on %(moment)s.") % {"moment": at}


@page(roles.BILLING_READ, methods=("POST",))
def schedule_verb(
    request: HttpRequest, principal: Principal, schedule_id: UUID, verb: str, slug: str | None = None
) -> HttpResponse:
    tenant = _whose(principal, slug)
    schedule = _schedules(principal, tenant).filter(pk=schedule_id).first()
    if schedule is None or verb not in VERBS:
        raise NotFound(gettext("There is no such schedule."))
    access_require(principal, roles.BILLING_WRITE)

    def work() -> str:
        now, actor = clock.now(), principal.actor
        if verb == "delete":
            report_schedule_delete(schedule=schedule, actor=actor, now=now)
        else:
            report_schedule_update(
                schedule=schedule,
                changes={"active": verb == "resume"},
                actor=actor,
                now=now,
                secret_bytes=secrets.token_bytes(SECRET_BYTES),
            )
        messages.success(request, gettext(DONE[verb]))
        return _url(tenant)

    return act(request, principal, back=_url(tenant), work=work)


@page(roles.BILLING_READ, methods=("GET", "HEAD", "POST"))
def link_new(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Makes a link and shows its address on this answer alone: only a hash of it is kept."""
    tenant = tenant_get(principal=principal, slug=slug)
    if request.method != "POST":
        return HttpResponseRedirect(_url(tenant))
    access_require(principal, roles.BILLING_WRITE)
    days = request.POST.get("days", "")

    def work() -> tuple[ReportLink, str]:
        return report_link_create(
            team_id=tenant.team_id,
            tenant_id=tenant.id,
            label=request.POST.get("label", ""),
            days=int(days) if days in map(str, LIFETIMES) else DEFAULT_DAYS,
            scope=request.POST.get("scope", USAGE),
            secret=secrets.token_urlsafe(32),
            actor=principal.actor,
            now=clock.now(),
        )

    made = once_shown(request, principal, back=_url(tenant), work=work)
    if isinstance(made, HttpResponse):
        return made
    link, token = made
    context = {
        "link": link,
        "shows": SCOPES[link.scope],
        "address": f"{settings.FREEHOLD_PUBLIC_URL}/shared/usage/{token}/",
        "reports_url": _url(tenant),
    }
    return tenant_frame(
        request, principal, "portal/tenant_report_link.html", tenant, context, tab="tenant-usage"
    )


@page(roles.BILLING_READ, methods=("POST",))
def link_revoke(request: HttpRequest, principal: Principal, slug: str, link_id: UUID) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    link = report_links_of(tenant_id=tenant.id).filter(pk=link_id).first()
    if link is None:
        raise NotFound(gettext("There is no such link."))
    access_require(principal, roles.BILLING_WRITE)

    def work() -> str:
        report_link_revoke(link=link, actor=principal.actor, now=clock.now())
        messages.success(request, gettext("The link is revoked: whoever opens it is refused from now on."))
        return _url(tenant)

    return act(request, principal, back=_url(tenant), work=work)


def _whose(principal: Principal, slug: str | None) -> Tenant | None:
    if slug is None:
        access_require_team(principal)
        return None
    return tenant_get(principal=principal, slug=slug)


def _schedules(principal: Principal, tenant: Tenant | None) -> QuerySet[ReportSchedule]:
    found = report_schedules_of(team_id=principal.team_id)
    return found.filter(tenant_id=None if tenant is None else tenant.id)


def _url(tenant: Tenant | None) -> str:
    if tenant is None:
        return reverse("portal:usage")
    return reverse("portal:tenant-usage", args=[tenant.slug])
