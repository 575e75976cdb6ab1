"""What tenants cost, earn and leave over: a tenant's Cost tab, and the margin of all with its CSV."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db.models import Min
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_noop

from billing.costs.overview import CostDay, cost_overview
from billing.costs.selectors import cost_imports_of
from billing.ledger.fleet import ORDERS, Books, fleet_lines
from billing.ledger.margin import COST_KINDS
from billing.ledger.margin_sheet import POOL, margin_csv
from billing.period import Period
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require_team
from controlplane.core import clock
from controlplane.portal.chart import month_chart
from controlplane.portal.listing import PER_PAGE, Column, headings, offset_asked, order_of, page_at
from controlplane.portal.money import months_since, period_asked, periods_of
from controlplane.portal.pages import page, show
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenant_get

KIND_TITLES: Final = {
    "infrastructure_estimated": gettext_noop("Infrastructure, estimated"),
    "infrastructure": gettext_noop("Infrastructure, billed"),
    "models": gettext_noop("Model vendors"),
    "overhead": gettext_noop("Share of overhead"),
    "bad_debt": gettext_noop("Bad debt"),
}
KIND_ABOUT: Final = {
    "infrastructure_estimated": gettext_noop(
        "the stack's priced cost by the day, until the provider's bill takes its place"
    ),
    "infrastructure": gettext_noop("from the provider's bill, by the tag of the tenant"),
    "models": gettext_noop("tokens at the model vendor's prices"),
    "overhead": gettext_noop("what carries no tenant's tag, shared by direct cost"),
    "bad_debt": gettext_noop("invoices given up"),
}
SORTS: Final = {name: name for name in ORDERS}
COLUMNS: Final = (
    Column(gettext_noop("Tenant"), "tenant", narrow=False),
    Column(gettext_noop("Revenue"), "revenue", numeric=True),
    Column(gettext_noop("Cost"), "cost", numeric=True),
    Column(gettext_noop("Margin"), "margin", numeric=True, narrow=False),
    Column(gettext_noop("Margin %"), "percent", numeric=True),
    Column(gettext_noop("Idle GPUs"), "idle", numeric=True),
)


@page(roles.BILLING_READ)
def tenant_cost(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    now = clock.now()
    period = period_asked(request, now)
    found = cost_overview(tenant_id=tenant.id, period=period, as_of=now)
    currencies = [line.currency for line in found.lines]
    wanted = request.GET.get("currency", "")
    currency = wanted if wanted in currencies else next(iter(currencies), "USD")
    line = next((each for each in found.lines if each.currency == currency), None)
    days = found.days.get(currency, ())
    kinds = [kind for kind in COST_KINDS if any(kind in day.costs for day in days)]
    context = {
        "period": period.key,
        "periods": periods_of(tenant, now),
        "currency": currency,
        "currencies": currencies,
        "line": line,
        "known": found.known,
        "gpu": found.gpu,
        "kinds": [(gettext(KIND_TITLES[kind]), gettext(KIND_ABOUT[kind]), line.costs[kind]) for kind in kinds]
        if line
        else [],
        "columns": [gettext(KIND_TITLES[kind]) for kind in kinds],
        "days": [(day, [day.costs.get(kind, "") for kind in kinds]) for day in days],
        "chart": _chart(period, days, currency, now) if days else None,
        "services": [each for each in found.services if each.currency == currency],
        "unpriced": found.unpriced,
    }
    return tenant_frame(request, principal, "portal/tenant_cost.html", tenant, context, tab="tenant-cost")


@page(roles.BILLING_READ)
def margin(request: HttpRequest, principal: Principal) -> HttpResponse:
    access_require_team(principal)
    now = clock.now()
    period = period_asked(request, now)
    tenants = Tenant.objects.filter(team_id=principal.team_id)
    order = order_of(request.GET, SORTS, "margin")
    found = fleet_lines(
        books=_books(principal),
        pool_id=principal.team_id,
        period=period,
        order=order.key,
        descending=order.descending,
        offset=offset_asked(request.GET),
        limit=PER_PAGE,
    )
    names = dict(tenants.filter(pk__in=[each.book_id for each in found.lines]).values_list("pk", "name"))
    context = {
        "found": page_at(
            [(each.label, names.get(each.book_id, POOL), each.line) for each in found.lines],
            found.count,
            request.GET,
        ),
        "headings": headings(COLUMNS, order, request.GET),
        "totals": found.totals,
        "period": period.key,
        "periods": months_since(tenants.aggregate(first=Min("created_at"))["first"] or now, now),
        "as_of": now,
        "gpu_known_at": found.gpu_known_at,
        "last_import": cost_imports_of(pool_id=principal.team_id).order_by("-created_at").first(),
        "page_title": gettext("Margin"),
        "page_lead": gettext(
            "What each tenant earns less what it costs, by the ledger. The least comes first."
        ),
    }
    return show(
        request, principal, "portal/margin.html", context, section="margin", crumbs=((gettext("Margin"), ""),)
    )


@page(roles.BILLING_READ)
def margin_file(request: HttpRequest, principal: Principal) -> HttpResponse:
    access_require_team(principal)
    period = period_asked(request, clock.now())
    text = margin_csv(
        fleet_lines(books=_books(principal), pool_id=principal.team_id, period=period), period=period.key
    )
    name = f'attachment; filename="margin-{period.key}.csv"'
    return HttpResponse(text, content_type="text/csv; charset=utf-8", headers={"Content-Disposition": name})


def _books(principal: Principal) -> Books:
    return Books.queried(Tenant.objects.filter(team_id=principal.team_id).values_list("pk", "slug"))


def _chart(period: Period, days: Any, currency: str, now: datetime) -> Any:
    """A day that gave cost back (a bill that was lowered) has no bar; the table says it."""

    def height(day: CostDay) -> str:
        return f"{max(day.total, Decimal(0)):f}"

    daily = [(day.day.isoformat(), height(day)) for day in days]
    return month_chart(period=period.key, daily=daily, unit=currency, today=now.date())
