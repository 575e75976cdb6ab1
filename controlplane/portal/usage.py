"""Usage of all tenants: one meter of one month by tenant and day. The files hold every figure."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext, gettext_noop

from billing.metering.catalogue import METERS
from billing.metering.selectors import fleet_usage_query
from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.portal.chart import month_chart
from controlplane.portal.listing import Column, headings, order_of, page_of
from controlplane.portal.money import CHARTED_FIRST, months_since, period_asked
from controlplane.portal.pages import page, show
from controlplane.portal.reports import reports_context
from controlplane.tenants.billed import billed
from controlplane.tenants.models import Tenant
from controlplane.tenants.selectors import tenants_visible

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
    # Without their stacks, whose state is large, and their newest operations.
    visible = tenants_visible(principal=principal).values("pk")
    everyone = list(Tenant.objects.filter(pk__in=visible).order_by("slug", "created_at"))
    tenants = [tenant for tenant in everyone if billed(tenant).lived_in(period)]
    # By id: a slug may have been another tenant's before.
    asked: dict[str, Any] = {
        "tenants": {tenant.pk: str(tenant.pk) for tenant in tenants},
        "meter": meter.key,
        "start": period.start,
        "end": period.end,
        "as_of": now,
    }
    by_tenant = fleet_usage_query(**asked, window="month", group_by="tenant")["results"]
    by_day = fleet_usage_query(**asked, window="day")["results"]
    values = {row["group"]: Decimal(row["value"]) for row in by_tenant}
    total = sum(values.values(), Decimal(0)) if meter.additive else None
    order = order_of(request.GET, SORTS, "-value")
    rows = [_row(tenant, values.get(str(tenant.pk), Decimal(0)), total) for tenant in tenants]
    if order.key == "tenant":
        rows.sort(key=lambda row: row.tenant.slug, reverse=order.descending)
    else:
        rows.sort(key=lambda row: row.value, reverse=order.descending)
    context = {
        "found": page_of(rows, request.GET),
        "headings": headings(COLUMNS, order, request.GET),
        "chart": month_chart(
            period=period.key,
            daily=[(row["from"][:10], row["value"]) for row in by_day],
            unit=meter.unit,
            today=now.date(),
        )
        if values
        else None,
        "meter": meter,
        "meters": METERS.values(),
        "total": total,
        "period": period.key,
        "periods": months_since(min((each.created_at for each in everyone), default=now), now),
        "as_of": now,
        "tenants": tenants,
        "page_title": gettext("Usage"),
        "page_lead": gettext("What all tenants used, by meter. A tenant's page says what it owes for it."),
        **reports_context(principal, None, now),
    }
    return show(
        request, principal, "portal/usage.html", context, section="usage", crumbs=((gettext("Usage"), ""),)
    )


def _row(tenant: Tenant, value: Decimal, total: Decimal | None) -> Row:
    return Row(tenant, value, value * 100 / total if total else None)
