"""Usage of all tenants: one meter of one month by tenant and day. The files hold every figure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from django.db.models import Min, Q
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_noop

from billing.exact import decimal_text
from billing.metering.catalogue import METERS
from billing.metering.fleet import fleet_month_usage
from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.portal.chart import month_chart
from controlplane.portal.kept import kept
from controlplane.portal.listing import Column, headings, order_of, page_of
from controlplane.portal.money import CHARTED_FIRST, months_since, period_asked
from controlplane.portal.pages import page, show
from controlplane.portal.reports import reports_context
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenants_visible

#: So old the figures may be where a fleet uses so much that adding it up takes longer than this; the page says how old.
USAGE_KEPT_S: Final = 60
SLOW_S: Final = 0.2
SORTS: Final = {name: name for name in ("tenant", "value")}
COLUMNS: Final = (
    Column(gettext_noop("Tenant"), "tenant", narrow=False),
    Column(gettext_noop("Used"), "value", numeric=True, narrow=False),
    Column(gettext_noop("Share"), numeric=True),
)


@dataclass(frozen=True)
class Row:
    """`share` is in percent; None for a meter that does not add up over tenants."""

    tenant: Tenant
    value: Decimal
    share: Decimal | None


@page(roles.BILLING_READ)
def usage(request: HttpRequest, principal: Principal) -> HttpResponse:
    now = clock.now()
    period = period_asked(request, now)
    wanted = request.GET.get("meter", "")
    meter = METERS[wanted if wanted in METERS else CHARTED_FIRST[0]]
    visible = Tenant.objects.filter(pk__in=tenants_visible(principal=principal).values("pk"))
    # Thousands of them are told apart by their slugs alone; what a page shows is read for its rows.
    ended = Q(deprovisioned_at__isnull=False, deprovisioned_at__lte=period.start)
    living = visible.filter(created_at__lt=period.end).exclude(ended).order_by("slug", "created_at")
    slugs = dict(living.values_list("pk", "slug"))
    # By id: a slug may have been another tenant's before.
    used, as_of = kept(
        name="fleet-usage-1",
        about=f"{meter.key}:{period.key}",
        principal=principal,
        seconds=USAGE_KEPT_S,
        now=now,
        work=lambda: fleet_month_usage(tenant_ids=list(slugs), meter=meter.key, period=period, as_of=now),
        slow_s=SLOW_S,
    )
    total = sum(used.by_tenant.values(), Decimal(0)) if meter.additive else None
    order = order_of(request.GET, SORTS, "-value")
    ranked = list(slugs)
    if order.key == "tenant":
        ranked.sort(key=lambda pk: slugs[pk], reverse=order.descending)
    else:
        ranked.sort(key=lambda pk: used.by_tenant.get(pk, Decimal(0)), reverse=order.descending)
    found = page_of(ranked, request.GET)
    shown = Tenant.objects.in_bulk(found.object_list)
    found.object_list = [
        _row(shown[pk], used.by_tenant.get(pk, Decimal(0)), total) for pk in found.object_list
    ]
    context = {
        "found": found,
        "headings": headings(COLUMNS, order, request.GET),
        "chart": month_chart(
            period=period.key,
            daily=[(day.isoformat(), decimal_text(value)) for day, value in used.by_day.items()],
            unit=meter.unit,
            today=now.date(),
        )
        if used.by_tenant
        else None,
        "meter": meter,
        "meters": METERS.values(),
        "total": total,
        "period": period.key,
        "periods": months_since(visible.aggregate(first=Min("created_at"))["first"] or now, now),
        "as_of": as_of,
        "tenants": bool(slugs),
        "page_title": gettext("Usage"),
        "page_lead": gettext("What all tenants used, by meter. A tenant's page says what it owes for it."),
        **reports_context(principal, None, now),
    }
    return show(
        request, principal, "portal/usage.html", context, section="usage", crumbs=((gettext("Usage"), ""),)
    )


def _row(tenant: Tenant, value: Decimal, total: Decimal | None) -> Row:
    return Row(tenant, value, value * 100 / total if total else None)
