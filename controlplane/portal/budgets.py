"""Budgets of a tenant and of the whole fleet: how far they are used, what they did, and their form.

The form is sent twice: first it answers with what the budget would do, then it saves. Whoever changes a value in
between is shown the effect again.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
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
from controlplane.accounts.access import Principal, access_require
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.core.outbound.selectors import endpoint_url
from controlplane.core.outbound.services import webhook_url_check
from controlplane.portal.budget_form import Draft, draft_read, errors_of, fingerprint
from controlplane.portal.budget_place import Place, place_of
from controlplane.portal.budget_words import budget_bar, effect_sentences
from controlplane.portal.money import currency_of
from controlplane.portal.pages import act, once_shown, page
from controlplane.portal.spoken import refusal, spoken
from controlplane.portal.webhooks import budget_sample
from controlplane.tenants.models import StandingEnactment, Tenant

ALERTS_SHOWN: Final = 10
SECRET_BYTES: Final = 32


@page(roles.BILLING_READ)
def budgets(request: HttpRequest, principal: Principal, slug: str | None = None) -> HttpResponse:
    place = place_of(principal, slug)
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
    place = place_of(principal, slug)
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
    place = place_of(principal, slug)
    found = budget_get(**place.keys, budget_id=budget_id)
    if request.method == "POST":
        access_require(principal, roles.BILLING_WRITE)
        return _posted(request, place, found)
    draft = Draft(
        webhook_url=endpoint_url(endpoint_id=found.endpoint_id),
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
    place = place_of(principal, slug)
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
        values = {**draft.values(), **_webhook_change(draft, stored)}
        if values.get("webhook_url"):
            webhook_url_check(values["webhook_url"])
        fields = {name: value for name, value in values.items() if name != "webhook_url"}
        wanted = budget_draft(
            **place.keys, **fields, currency=currency, actor=place.principal.actor, now=clock.now()
        )
    except ValidationFailed as error:
        return _form(request, place, stored, draft, error=error, status=422)
    if request.POST.get("previewed") != fingerprint(request.POST):
        return _form(request, place, stored, draft, wanted=wanted)
    return _save(request, place, stored, values, currency)


def _save(
    request: HttpRequest, place: Place, stored: Budget | None, values: Mapping[str, Any], currency: str
) -> HttpResponse:
    back = place.url("budget-new") if stored is None else place.url("budget", stored.pk)

    def save() -> tuple[Budget, str | None]:
        now, actor = clock.now(), place.principal.actor
        secret_bytes = secrets.token_bytes(SECRET_BYTES)
        if stored is None:
            made, secret = budget_create(
                **place.keys, **values, currency=currency, actor=actor, now=now, secret_bytes=secret_bytes
            )
        else:
            made, secret = budget_update(
                budget=stored,
                changes=values,
                actor=actor,
                now=now,
                secret_bytes=secret_bytes,
                etags=[request.POST.get("etag", "")],
            )
        budget_evaluate(budget_id=made.pk, spends=Spends(clock.now()))
        return made, secret

    def work() -> str:
        made, _ = save()
        messages.success(request, _saved(made))
        return place.url("budgets")

    def refused(error: FreeholdError) -> HttpResponse:
        messages.error(request, refusal(error))
        return HttpResponseRedirect(back)

    if not values.get("webhook_url"):
        return act(request, place.principal, back=back, work=work)
    shown = once_shown(request, place.principal, back=place.url("budgets"), work=save, refused=refused)
    if isinstance(shown, HttpResponse):
        return shown
    made, secret = shown
    context = {
        "said": _saved(made),
        "secret": secret,
        "webhook_url": values["webhook_url"],
        "done_url": place.url("budgets"),
    }
    return place.show(request, "portal/webhook_secret.html", context, title=made.name)


def _told_url(draft: Draft, stored: Budget | None) -> str:
    if draft.webhook_url is not None or stored is None:
        return draft.webhook_url or ""
    return endpoint_url(endpoint_id=stored.endpoint_id)


def _saved(made: Budget) -> str:
    return gettext("The budget %(name)s is saved and was evaluated.") % {"name": made.name}


def _webhook_change(draft: Draft, stored: Budget | None) -> dict[str, str | None]:
    """Nothing where the URL stays: setting the same one again would end its secret."""
    before = endpoint_url(endpoint_id=stored.endpoint_id) if stored else ""
    if draft.webhook_url is None or draft.webhook_url == before:
        return {}
    return {"webhook_url": draft.webhook_url or None}


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
        "sample": budget_sample(
            currency=draft.currency, tenant=place.tenant.slug if place.tenant else None, now=now
        ),
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
                told=bool(wanted.emails or _told_url(draft, stored)),
            )
        except FreeholdError as problem:
            context["preview_problem"] = spoken(problem.detail)
    title = stored.name if stored else gettext("New budget")
    return place.show(request, "portal/budget.html", context, title=title, status=status)
