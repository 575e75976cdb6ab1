"""Budgets of a tenant and of the whole fleet: how far they are used, what they did, and their form.

The form is sent twice: first it answers with what the budget would do, then it saves. Whoever changes a value in
between is shown the effect again.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from billing.budgets.evaluate import budget_evaluate
from billing.budgets.figures import Spends
from billing.budgets.models import CLOSED, OPEN, Budget
from billing.budgets.preview import budget_preview
from billing.budgets.selectors import (
    alerts_representation,
    budget_etag,
    budget_get,
    budget_status,
    budgets_of,
)
from billing.budgets.services import budget_create, budget_delete, budget_draft, budget_update
from billing.budgets.thresholds import ACTIONS, DEFAULT, MEASURES
from billing.currencies import MINOR_PLACES
from billing.standing.selectors import standing_of
from billing.standing.states import CURRENT
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require, access_require_team
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.portal.budget_form import Draft, draft_read, errors_of, fingerprint
from controlplane.portal.budget_words import ACTION_TITLES, MEASURE_TITLES, budget_bar, effect_sentences
from controlplane.portal.money import currency_of
from controlplane.portal.pages import act, page, show
from controlplane.portal.spoken import spoken
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import StandingEnactment, Tenant
from controlplane.tenants.selectors import tenant_get

ALERTS_SHOWN: Final = 10
SECRET_BYTES: Final = 32


@dataclass(frozen=True)
class Place:
    """Whose budgets: a tenant's, or with None those of all tenants together."""

    principal: Principal
    tenant: Tenant | None

    @property
    def keys(self) -> dict[str, Any]:
        return {
            "team_id": self.principal.team_id,
            "tenant_id": None if self.tenant is None else self.tenant.id,
        }

    def url(self, name: str, *further: Any) -> str:
        if self.tenant is None:
            return reverse(f"portal:{name}", args=further)
        return reverse(f"portal:tenant-{name}", args=[self.tenant.slug, *further])

    def show(
        self,
        request: HttpRequest,
        template: str,
        context: dict[str, Any],
        *,
        title: str = "",
        status: int = 200,
    ) -> HttpResponse:
        shared = {
            "place": self,
            "list_url": self.url("budgets"),
            "new_url": self.url("budget-new"),
            "may_change": access_allows(self.principal, roles.BILLING_WRITE),
            "action_titles": {key: gettext(text) for key, text in ACTION_TITLES.items()},
            "measure_titles": {key: gettext(text) for key, text in MEASURE_TITLES.items()},
            "flag": f" --tenant {self.tenant.slug}" if self.tenant else "",
            "base": "portal/tenant_frame.html" if self.tenant else "portal/fleet_frame.html",
            "page_title": gettext("Budgets"),
            "leaf_title": title,
            "page_lead": gettext("How much all tenants together may cost in a month, and what happens then."),
        }
        if self.tenant is not None:
            return tenant_frame(
                request,
                self.principal,
                template,
                self.tenant,
                {**shared, **context},
                tab="tenant-budgets",
                leaf=title,
                status=status,
            )
        crumbs = (
            (gettext("Budgets"), self.url("budgets") if title else ""),
            *(((title, ""),) if title else ()),
        )
        return show(
            request,
            self.principal,
            template,
            {**shared, **context},
            section="budgets",
            crumbs=crumbs,
            status=status,
        )


@page(roles.BILLING_READ)
def budgets(request: HttpRequest, principal: Principal, slug: str | None = None) -> HttpResponse:
    place = _place(principal, slug)
    now = clock.now()
    rows = [budget_row(each, now) for each in _listed(place)]
    context = {
        "rows": rows,
        "standing": None if place.tenant is None else _standing(place.tenant),
        "cli_set": f"freehold budgets set{' --tenant ' + slug if slug else ''} --amount 500"
        " --threshold 80 --threshold 100:actual:alert+block_runs --email you@example.com",
    }
    return place.show(request, "portal/budgets.html", context)


@page(roles.BILLING_READ, methods=("GET", "HEAD", "POST"))
def budget_new(request: HttpRequest, principal: Principal, slug: str | None = None) -> HttpResponse:
    place = _place(principal, slug)
    access_require(principal, roles.BILLING_WRITE)
    if request.method == "POST":
        return _posted(request, place, None)
    draft = Draft(currency=_currency(place), thresholds=[dict(each.as_wire()) for each in DEFAULT])
    return _form(request, place, None, draft)


@page(roles.BILLING_READ, methods=("GET", "HEAD", "POST"))
def budget(
    request: HttpRequest, principal: Principal, budget_id: UUID, slug: str | None = None
) -> HttpResponse:
    """The budget with its alerts; for those who may, with its form."""
    place = _place(principal, slug)
    found = budget_get(**place.keys, budget_id=budget_id)
    if request.method == "POST":
        access_require(principal, roles.BILLING_WRITE)
        return _posted(request, place, found)
    draft = Draft(
        name=found.name,
        amount=f"{found.amount.normalize():f}",
        currency=found.currency,
        on_unknown=found.on_unknown,
        resume_afterwards=found.resume_afterwards,
        emails="\n".join(found.emails),
        thresholds=[dict(each) for each in found.thresholds],
    )
    return _form(request, place, found, draft)


@page(roles.BILLING_READ, methods=("POST",))
def budget_remove(
    request: HttpRequest, principal: Principal, budget_id: UUID, slug: str | None = None
) -> HttpResponse:
    place = _place(principal, slug)
    found = budget_get(**place.keys, budget_id=budget_id)
    access_require(principal, roles.BILLING_WRITE)

    def work() -> str:
        budget_delete(budget=found, actor=principal.actor, now=clock.now())
        said = gettext("The budget %(name)s is deleted; what it held is lifted.") % {"name": found.name}
        messages.success(request, said)
        return place.url("budgets")

    return act(request, principal, back=place.url("budget", found.pk), work=work)


def budget_row(found: Budget, now: datetime) -> dict[str, Any]:
    status = budget_status(found, now=now, alerts=found.alerts.all())
    return {"budget": found, "status": status, "bar": budget_bar(status)}


def _place(principal: Principal, slug: str | None) -> Place:
    if slug is None:
        access_require_team(principal)
        return Place(principal, None)
    return Place(principal, tenant_get(principal=principal, slug=slug))


def _listed(place: Place) -> QuerySet[Budget]:
    return budgets_of(**place.keys).prefetch_related("alerts").order_by("name", "pk")


def _standing(tenant: Tenant) -> dict[str, Any]:
    """Why, since when and what was done; the latter only where anything is asked for."""
    said = standing_of(tenant_id=tenant.id, history=0)
    done = (
        StandingEnactment.objects.filter(pk=tenant.pk).first()
        if said["standing"] != CURRENT or tenant.billing != CURRENT
        else None
    )
    return {**said, "done": done}


def _currency(place: Place) -> str:
    """A tenant's budget is in the currency that the tenant is billed in now."""
    return "USD" if place.tenant is None else currency_of(place.tenant)


def _posted(request: HttpRequest, place: Place, stored: Budget | None) -> HttpResponse:
    if stored is not None:
        currency = stored.currency
    elif place.tenant is not None:
        currency = _currency(place)
    else:
        currency = request.POST.get("currency", "USD")
    draft = draft_read(request.POST, currency)
    try:
        values = draft.values()
        wanted = budget_draft(
            **place.keys, **values, currency=currency, actor=place.principal.actor, now=clock.now()
        )
    except ValidationFailed as error:
        return _form(request, place, stored, draft, error=error, status=422)
    if request.POST.get("previewed") != fingerprint(request.POST):
        return _form(request, place, stored, draft, wanted=wanted)
    return _save(request, place, stored, values, currency)


def _save(
    request: HttpRequest, place: Place, stored: Budget | None, values: Mapping[str, Any], currency: str
) -> HttpResponse:
    def work() -> str:
        now, actor = clock.now(), place.principal.actor
        secret = secrets.token_bytes(SECRET_BYTES)
        if stored is None:
            made, _ = budget_create(
                **place.keys, **values, currency=currency, actor=actor, now=now, secret_bytes=secret
            )
        else:
            made, _ = budget_update(
                budget=stored,
                changes=values,
                actor=actor,
                now=now,
                secret_bytes=secret,
                etags=[request.POST.get("etag", "")],
            )
        budget_evaluate(budget_id=made.pk, spends=Spends(clock.now()))
        messages.success(
            request, gettext("The budget %(name)s is saved and was evaluated.") % {"name": made.name}
        )
        return place.url("budgets")

    back = place.url("budget-new") if stored is None else place.url("budget", stored.pk)
    return act(request, place.principal, back=back, work=work)


def _form(
    request: HttpRequest,
    place: Place,
    stored: Budget | None,
    draft: Draft,
    *,
    wanted: Budget | None = None,
    error: ValidationFailed | None = None,
    status: int = 200,
) -> HttpResponse:
    now = clock.now()
    context: dict[str, Any] = {
        "stored": stored,
        "draft": draft,
        "errors": errors_of(error),
        "currencies": sorted(MINOR_PLACES),
        "measures": MEASURES,
        "actions": ACTIONS,
        "unknowns": (OPEN, CLOSED),
        "etag": request.POST.get("etag") or (budget_etag(stored) if stored else ""),
    }
    if stored is not None:
        alerts = list(stored.alerts.order_by("-fired_at", "-pk"))
        status_now = budget_status(stored, now=now, alerts=alerts)
        context["row"] = {"budget": stored, "status": status_now, "bar": budget_bar(status_now)}
        context["alerts"] = alerts_representation(alerts[:ALERTS_SHOWN])
    if wanted is not None:
        context["previewed"] = fingerprint(request.POST)
        try:
            preview = budget_preview(draft=wanted, stored=stored, now=now)
            context["preview"] = preview
            context["sentences"] = effect_sentences(
                preview,
                fleet=place.tenant is None,
                told=bool(wanted.emails) or (stored is not None and stored.endpoint_id is not None),
            )
        except FreeholdError as problem:
            context["preview_problem"] = spoken(problem.detail)
    title = stored.name if stored else gettext("New budget")
    return place.show(request, "portal/budget.html", context, title=title, status=status)
