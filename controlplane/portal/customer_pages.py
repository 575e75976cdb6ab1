"""What a tenant's own people see: its usage, invoices, health and agents, and nothing of how it is run."""

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.directory import BilledCustomer, directory
from billing.invoicing import states as invoice_states
from billing.invoicing.models import Invoice
from billing.invoicing.selectors import invoices_visible
from billing.invoicing.services import amount_due
from billing.invoicing.shape import invoice_shape
from billing.metering.catalogue import METERS
from billing.metering.selectors import usage_query
from billing.period import Period, period_of, period_parse
from billing.reports.render import usage_file
from billing.reports.selectors import UsageReport, usage_report
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound
from controlplane.portal.chart import month_chart
from controlplane.portal.listing import page_of
from controlplane.portal.money import breakdown_table, meter_choose, months_since
from controlplane.portal.visitors import Visitor, visitor_show
from controlplane.tenants import looks, states
from controlplane.tenants.runtime_activity import runtime_agents
from controlplane.tenants.selectors import tenant_for_customer, tenant_health

_FILES: Final = ("csv", "pdf")
#: An invoice's states as its customer reads them: that the vendor gave one up is the vendor's own business.
INVOICE_WORDS: Final = {
    invoice_states.FINALIZED: gettext_lazy("to pay"),
    invoice_states.UNCOLLECTIBLE: gettext_lazy("to pay"),
    invoice_states.PAID: gettext_lazy("paid"),
    invoice_states.VOID: gettext_lazy("void"),
}
#: Components by what they do for the customer.
COMPONENT_WORDS: Final = {
    looks.RUNTIME: gettext_lazy("Agents"),
    looks.MODEL: gettext_lazy("Language model"),
    looks.POSTGRES: gettext_lazy("Database"),
    looks.VECTOR_STORE: gettext_lazy("Memory and search"),
    looks.REDIS: gettext_lazy("Cache"),
    looks.GPU: gettext_lazy("GPU"),
}
COUNTED: Final = timedelta(days=30)


def usage_page(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    customer, period, report = _report(request, visitor)
    now = clock.now()
    meter = meter_choose(report, request.GET.get("meter", ""))
    daily = [(row["date"], row["value"]) for row in report["daily"] if row["meter"] == meter]
    context = {
        "report": report,
        "period": period.key,
        "periods": months_since(customer.created_at, customer.ended_at or now),
        "meter": METERS.get(meter),
        "meter_rows": report["meters"],
        "chart": month_chart(period=period.key, daily=daily, unit=METERS[meter].unit, today=now.date())
        if meter
        else None,
        "breakdowns": [
            breakdown_table(title, by, rows)
            for title, by, rows in (
                (_("Agent"), _("By agent"), report["by_agent"]),
                (_("Model"), _("By model"), report["by_model"]),
                (_("User"), _("By user"), report["by_user"]),
            )
        ],
    }
    return visitor_show(request, visitor, "shared/usage.html", context, page="usage")


def usage_page_file(request: HttpRequest, visitor: Visitor, form: str) -> HttpResponse:
    if form not in _FILES:
        raise NotFound(_("There is no such file."))
    _customer, _period, report = _report(request, visitor)
    file = usage_file(report, form)
    return _download(file.content, file.content_type, file.name)


def _report(request: HttpRequest, visitor: Visitor) -> tuple[BilledCustomer, Period, UsageReport]:
    now = clock.now()
    customer = directory().customer(tenant_id=visitor.tenant_id)
    if customer is None or customer.team_id != visitor.team_id:
        raise NotFound(_("There is no such report any more."))
    raw = request.GET.get("period")
    period = period_parse(raw) if raw else period_of(now)
    if not customer.lived_in(period) or period.start > now:
        raise NotFound(_("There is no report for %(period)s.") % {"period": period.key})
    report = usage_report(tenant=customer, period=period.key, card=customer.fallback, as_of=now)
    return customer, period, report


def invoices_page(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    now, tenant = clock.now(), tenant_for_customer(team_id=visitor.team_id, tenant_id=visitor.tenant_id)
    found = page_of(_issued(visitor).order_by("-period_start", "-created_at", "-pk"), request.GET)
    context = {"tenant": tenant, "found": found, "rows": [_row(each, now) for each in found.object_list]}
    return visitor_show(request, visitor, "customer/invoices.html", context, page="invoices")


def invoice_page(request: HttpRequest, visitor: Visitor, invoice_id: UUID) -> HttpResponse:
    found = _invoice(visitor, invoice_id)
    row = _row(found, clock.now())
    context = {**row, "invoice": invoice_shape(found, due=row["due"])}
    return visitor_show(request, visitor, "customer/invoice.html", context, page="invoices")


def invoice_page_file(request: HttpRequest, visitor: Visitor, invoice_id: UUID) -> HttpResponse:
    # Imported here: the PDF library takes a second to load, which every start would pay.
    from billing.invoicing.document import invoice_pdf

    found = _invoice(visitor, invoice_id)
    shape = invoice_shape(found, due=amount_due(found))
    return _download(invoice_pdf(shape), "application/pdf", f"invoice-{found.number}.pdf")


def _issued(visitor: Visitor) -> QuerySet[Invoice]:
    """Drafts are the vendor's own until they have a number."""
    found = invoices_visible(team_id=visitor.team_id, tenant_id=visitor.tenant_id)
    return found.filter(state__in=tuple(INVOICE_WORDS))


def _invoice(visitor: Visitor, invoice_id: UUID) -> Invoice:
    found = _issued(visitor).filter(pk=invoice_id).first()
    if found is None:
        raise NotFound(_("There is no such invoice."))
    return found


def _row(invoice: Invoice, now: datetime) -> dict[str, Any]:
    owed = invoice.state in invoice_states.OWED
    due = amount_due(invoice) if owed else Decimal(0)
    return {
        "invoice": invoice,
        "word": INVOICE_WORDS[invoice.state],
        "tone": "ok" if invoice.state == invoice_states.PAID else "idle",
        "due": due,
        "overdue": due > 0 and invoice.due_at is not None and invoice.due_at < now,
        "month": f"{invoice.period_start:%Y-%m}",
    }


def health_page(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    tenant = tenant_for_customer(team_id=visitor.team_id, tenant_id=visitor.tenant_id)
    told = tenant_health(tenant=tenant, now=clock.now())
    parts = {row["name"]: row for row in told["components"]}
    context = {
        "tenant": tenant,
        "served": tenant.lifecycle == states.ACTIVE,
        "sentence": _sentence(tenant.lifecycle, tenant.health),
        "checked_at": tenant.health_checked_at,
        "uptime": told["uptime_30d"],
        # What a probe said may name addresses: only the words and since when.
        "parts": [
            {"title": title, **{key: parts[name][key] for key in ("health", "since", "uptime_30d")}}
            for name, title in COMPONENT_WORDS.items()
            if name in parts
        ],
    }
    return visitor_show(request, visitor, "customer/health.html", context, page="health")


def _sentence(lifecycle: str, health: str) -> str:
    if lifecycle == states.SUSPENDED:
        return _("Paused: agents do not answer until your vendor resumes them. Your data is kept.")
    if lifecycle in (states.REQUESTED, states.PROVISIONING):
        return _("Being set up. Agents answer once that is done.")
    if lifecycle in (states.DEPROVISIONING, states.DEPROVISIONED):
        return _("Ended. Agents do not answer any more.")
    return {
        states.HEALTHY: _("Everything answers."),
        states.DEGRADED: _("Agents answer, but a part of what they use does not do so as it should."),
        states.UNHEALTHY: _("Agents do not answer as they should. Your vendor sees the same."),
    }.get(health, _("Nobody could look just now; that is no failure."))


def agents_page(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """By name, with what the runtime says of them and how often they ran; never what was said in a run."""
    now, tenant = clock.now(), tenant_for_customer(team_id=visitor.team_id, tenant_id=visitor.tenant_id)
    runs, failed = (_counted(visitor, meter, now) for meter in ("agent_runs", "failed_runs"))
    trouble = False
    try:
        served = runtime_agents(tenant=tenant, now=now)
    except FreeholdError:
        served, trouble = {}, True
    names = [*served, *sorted(runs.keys() - served.keys())]
    context = {
        "tenant": tenant,
        "agents": [
            {
                "name": name,
                "about": served.get(name, ""),
                "served": name in served,
                "runs": runs[name],
                "failed": failed[name],
            }
            for name in names
        ],
        "trouble": trouble,
        "days": COUNTED.days,
    }
    return visitor_show(request, visitor, "customer/agents.html", context, page="agents")


def _counted(visitor: Visitor, meter: str, now: datetime) -> Counter[str]:
    answer = usage_query(
        tenant_id=visitor.tenant_id,
        meter=meter,
        start=now - COUNTED,
        end=now,
        window="month",
        group_by="agent",
        as_of=now,
    )
    counted: Counter[str] = Counter()
    for row in answer["results"]:
        counted[row["group"] or ""] += int(Decimal(row["value"]))
    return counted


def _download(content: str | bytes, kind: str, name: str) -> HttpResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(content, content_type=kind, headers=headers)
