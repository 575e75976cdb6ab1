"""A tenant's usage report and invoice preview. The numbers are billing's; here they are shown."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from billing.agreements.selectors import agreement_currency
from billing.invoicing.selectors import invoice_preview, invoices_visible
from billing.metering.catalogue import METERS
from billing.period import Period, month_start, next_month, period_of, period_parse
from billing.rating.cards import RateCard
from billing.reports.selectors import Breakdown, UsageReport, usage_report
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows
from controlplane.core import clock
from controlplane.portal.calling import run_command
from controlplane.portal.chart import Chart, month_chart
from controlplane.portal.invoices import rows_told
from controlplane.portal.pages import page
from controlplane.portal.reports import reports_context
from controlplane.portal.tenants import tenant_frame
from controlplane.portal.words import word_text
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans
from controlplane.tenants.selectors import tenant_get

#: The first of these that saw usage is charted when the URL names none.
CHARTED_FIRST = ("output_tokens", "input_tokens", "agent_runs", "runtime_hours")
#: The choice of months goes back so far at most.
MOST_PERIODS = 24
#: On the Billing tab; the rest is in the list of invoices.
INVOICES_SHOWN = 12


@page(roles.BILLING_READ)
def tenant_usage(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    now = clock.now()
    period = period_asked(request, now)
    report = usage_report(tenant=tenant, period=period.key, card=card_of(tenant), as_of=now)
    meter = meter_choose(report, request.GET.get("meter", ""))
    context = {
        "report": report,
        "period": period.key,
        "periods": periods_of(tenant, now),
        "meter": METERS.get(meter),
        "chart": _chart(report, meter, now) if meter else None,
        "meter_rows": report["meters"],
        "run_command": run_command(tenant.slug),
        "usage_total": _sum(row["amount"] for row in report["meters"]),
        "other_total": _sum(row["amount"] for row in report["other_charges"]),
        "breakdowns": [
            breakdown_table(gettext("Model"), gettext("By model"), report["by_model"]),
            breakdown_table(gettext("Agent"), gettext("By agent"), report["by_agent"]),
        ],
        **reports_context(principal, tenant, now),
    }
    return tenant_frame(request, principal, "portal/tenant_usage.html", tenant, context, tab="tenant-usage")


@page(roles.BILLING_READ)
def tenant_billing(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    tenant = tenant_get(principal=principal, slug=slug)
    now = clock.now()
    period = period_asked(request, now)
    invoice = invoice_preview(customer=tenant, card=card_of(tenant), period=period, as_of=now)
    issued = invoices_visible(
        team_id=principal.team_id, tenant_ids=principal.tenant_ids, tenant_id=tenant.id
    ).order_by("-period_start", "-created_at")[:INVOICES_SHOWN]
    context = {
        "invoice": invoice,
        "period": period.key,
        "periods": periods_of(tenant, now),
        "span": period,
        "rows": rows_told(issued, {tenant.pk: tenant.slug}, now),
        "may_draft": access_allows(principal, roles.BILLING_WRITE),
    }
    return tenant_frame(
        request, principal, "portal/tenant_billing.html", tenant, context, tab="tenant-billing"
    )


def card_of(tenant: Tenant) -> RateCard:
    return RateCard.model_validate(plans()[tenant.plan].rate_card)


def currency_of(tenant: Tenant) -> str:
    """What the tenant is billed in."""
    return agreement_currency(tenant_id=tenant.id) or card_of(tenant).currency


def period_asked(request: HttpRequest, now: datetime) -> Period:
    """The month of the URL, else this one. Raises ValidationFailed naming `period`."""
    raw = request.GET.get("period")
    return period_parse(raw) if raw else period_of(now)


def periods_of(tenant: Tenant, now: datetime) -> list[str]:
    """The months this tenant has lived in, newest first."""
    return months_since(tenant.created_at, now)


def months_since(begin: datetime, now: datetime) -> list[str]:
    """Newest first, at most MOST_PERIODS."""
    found, start, last = [], month_start(begin), month_start(now)
    while start <= last:
        found.append(f"{start:%Y-%m}")
        start = next_month(start)
    return found[::-1][:MOST_PERIODS]


def meter_choose(report: UsageReport, wanted: str) -> str:
    """The meter asked for when it saw usage, else a telling one; empty when nothing did."""
    used = [row["meter"] for row in report["meters"]]
    for key in (wanted, *CHARTED_FIRST, *used):
        if key in used:
            return key
    return ""


def _chart(report: UsageReport, meter: str, now: datetime) -> Chart:
    daily = [(row["date"], row["value"]) for row in report["daily"] if row["meter"] == meter]
    return month_chart(period=report["period"], daily=daily, unit=METERS[meter].unit, today=now.date())


def breakdown_table(title: str, by: str, rows: list[Breakdown]) -> dict[str, Any]:
    """Groups down, meters across; only meters that saw usage."""
    keys = [key for key in METERS if any(key in row["meters"] for row in rows)]
    return {
        "title": title,
        "by": by,
        "columns": [word_text(key) for key in keys],
        "rows": [
            {
                "group": row["group"] or gettext("(none)"),
                "cells": [row["meters"].get(key, "0") for key in keys],
            }
            for row in rows
        ],
    }


def _sum(amounts: Any) -> Decimal:
    return sum((Decimal(amount) for amount in amounts), Decimal(0))
