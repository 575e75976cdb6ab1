"""A tenant's credits: what is left, each grant, every movement in the ledger, and the form that gives one."""

from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from billing.ledger.grants import (
    balances_usable,
    credit_entries,
    credit_representation,
    grant_get,
    grants_of,
    grants_remaining,
)
from billing.ledger.models import PROMOTION, PURCHASE
from billing.ledger.services import credit_grant_create, credit_grant_void
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows, access_require
from controlplane.core import clock
from controlplane.core.errors import FieldProblem, ValidationFailed
from controlplane.portal.listing import page_of
from controlplane.portal.money import currency_of
from controlplane.portal.pages import act, once, page
from controlplane.portal.spoken import problems_of
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get

ENTRIES_SHOWN: Final = 50
SOURCES: Final = (
    (PURCHASE, gettext_noop("bought: owed until used")),
    (PROMOTION, gettext_noop("a gift: takes off revenue when used")),
)
FIELDS: Final = ("amount", "name", "source", "priority", "effective_on", "expires_on", "reason")
_LARGEST: Final = Decimal("1e12")
#: The service's names, where the form has others.
_FIELD_OF: Final = {"expires_at": "expires_on", "effective_at": "effective_on"}


@page(roles.BILLING_READ, methods=("GET", "HEAD", "POST"))
def tenant_credits(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    if request.method != "POST":
        return _credits(request, principal, tenant, {"source": PURCHASE, "priority": "50"}, {})
    access_require(principal, roles.BILLING_WRITE)
    values = {name: request.POST.get(name, "").strip()[:500] for name in FIELDS}
    try:
        return once(request, principal, lambda: _grant(request, principal, tenant, values))
    except ValidationFailed as error:
        errors = problems_of(error)
        shown = {_FIELD_OF.get(name, name): detail for name, detail in errors.items()}
        return _credits(request, principal, tenant, values, shown, status=422)


@page(roles.BILLING_READ, methods=("POST",))
def credit_void(request: HttpRequest, principal: Principal, slug: str, credit_id: UUID) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    grant = grant_get(tenant_id=tenant.id, grant_id=credit_id)
    access_require(principal, roles.BILLING_WRITE)

    def work() -> str:
        credit_grant_void(grant=grant, team_id=tenant.team_id, actor=principal.actor, now=clock.now())
        messages.success(request, gettext("What was left of %(name)s is taken back.") % {"name": grant.name})
        return _url(tenant)

    return act(request, principal, back=_url(tenant), work=work)


def _grant(request: HttpRequest, principal: Principal, tenant: Tenant, values: dict[str, str]) -> str:
    now = clock.now()
    read = _read(values)
    grant = credit_grant_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        currency=currency_of(tenant),
        actor=principal.actor,
        now=now,
        **read,
    )
    messages.success(request, gettext("%(name)s is given. The next invoices use it.") % {"name": grant.name})
    return _url(tenant)


def _read(values: dict[str, str]) -> dict[str, Any]:
    """As the service takes it. Raises ValidationFailed with every field that cannot be read."""
    problems: list[FieldProblem] = []

    def wrong(field: str, detail: str) -> None:
        problems.append({"pointer": f"/{field}", "detail": detail})

    try:
        amount = Decimal(values["amount"].replace(",", ""))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < amount < _LARGEST:
        wrong("amount", gettext("must be a number above 0, such as 250 or 99.50"))
    for field, needed in (
        ("name", gettext("is needed: what the customer reads")),
        ("reason", gettext("is needed: why, for the audit log")),
    ):
        if not values[field]:
            wrong(field, needed)
    if not values["priority"].isascii() or not values["priority"].isdigit() or int(values["priority"]) > 100:
        wrong("priority", gettext("must be 0 to 100"))
    days: dict[str, datetime | None] = {}
    for field in ("effective_on", "expires_on"):
        try:
            found = date.fromisoformat(values[field]) if values[field] else None
            days[field] = None if found is None else datetime.combine(found, time(), tzinfo=UTC)
        except ValueError:
            wrong(field, gettext("must be a day as YYYY-MM-DD"))
    if problems:
        raise ValidationFailed(gettext("Some fields are not valid."), errors=problems)
    return {
        "amount": amount,
        "name": values["name"][:200],
        "reason": values["reason"],
        "source": values["source"],
        "priority": int(values["priority"]),
        "effective_at": days["effective_on"],
        "expires_at": days["expires_on"],
    }


def _credits(
    request: HttpRequest,
    principal: Principal,
    tenant: Tenant,
    values: dict[str, str],
    errors: dict[str, str],
    *,
    status: int = 200,
) -> HttpResponse:
    now = clock.now()
    grants = list(grants_of(tenant_id=tenant.id).order_by("-created_at", "-pk"))
    remaining = grants_remaining(tenant_id=tenant.id)
    listed = page_of(grants, request.GET)
    names = {grant.pk: grant.name for grant in grants}
    entries = list(credit_entries(tenant_id=tenant.id)[: ENTRIES_SHOWN + 1])
    may_grant = access_allows(principal, roles.BILLING_WRITE)
    context = {
        "found": listed,
        "rows": [credit_representation(grant, remaining, now) for grant in listed.object_list],
        "balances": balances_usable(grants, remaining, now),
        # The account is owed to the customer: what is credited to it is more for them.
        "entries": [
            {
                "entry": each,
                "change": -each.amount,
                "name": names.get(each.subject, "") if each.subject else "",
            }
            for each in entries[:ENTRIES_SHOWN]
        ],
        "more_entries": len(entries) > ENTRIES_SHOWN,
        "as_of": now,
        "may_grant": may_grant,
        "currency": currency_of(tenant) if may_grant else "",
        "sources": [(key, gettext(text)) for key, text in SOURCES],
        "values": values,
        "errors": errors,
        "cli_add": f'freehold credits add {tenant.slug} 250 --name "Prepaid 2026"',
    }
    return tenant_frame(
        request,
        principal,
        "portal/tenant_credits.html",
        tenant,
        context,
        tab="tenant-billing",
        leaf=gettext("Credits"),
        status=status,
    )


def _url(tenant: Tenant) -> str:
    return reverse("portal:tenant-credits", args=[tenant.slug])
