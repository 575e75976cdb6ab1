"""A tenant's usage report for whoever holds its link, without a login: that tenant's own figures, and nothing else."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final

import structlog
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_safe

from billing.directory import BilledCustomer, directory
from billing.metering.catalogue import METERS
from billing.period import Period, month_start, next_month, period_of, period_parse
from billing.reports.links import report_link_follow
from billing.reports.models import ReportLink
from billing.reports.render import usage_file
from billing.reports.selectors import UsageReport, usage_report
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, ValidationFailed
from controlplane.portal.chart import month_chart
from controlplane.portal.money import MOST_PERIODS, breakdown_table, meter_choose
from controlplane.portal.pages import failure

log = structlog.get_logger()

#: Requests a minute for each link. A made-up link costs no more than checking its signature, so it is not counted.
LIMIT: Final = 60
_FILES: Final = ("csv", "pdf")
_MINUTE_S: Final = 60


class TooMany(FreeholdError):
    status = 429
    code = "rate_limited"
    title = gettext_noop("Too many requests")


def shared(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Opens the link, counts the request, and keeps the page out of caches, search engines and referrers: its address
    is what lets people in."""

    @wraps(view)
    def answer(request: HttpRequest, token: str, **kwargs: str) -> HttpResponse:
        now = clock.now()
        try:
            link = report_link_follow(token=token, now=now)
            _count(link, now)
            response = view(request, link, **kwargs)
        except ValidationFailed as error:
            response = failure(request, NotFound(gettext("There is no report for that."), hint=error.detail))
        except FreeholdError as error:
            response = failure(request, error)
            if isinstance(error, TooMany):
                response.headers["Retry-After"] = str(_MINUTE_S)
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return require_safe(answer)


@shared
def shared_usage(request: HttpRequest, link: ReportLink) -> HttpResponse:
    customer, period, report = _report(request, link)
    now = clock.now()
    meter = meter_choose(report, request.GET.get("meter", ""))
    daily = [(row["date"], row["value"]) for row in report["daily"] if row["meter"] == meter]
    context = {
        "link": link,
        "report": report,
        "period": period.key,
        "periods": _periods(customer, now),
        "meter": METERS.get(meter),
        "meter_rows": report["meters"],
        "chart": month_chart(period=period.key, daily=daily, unit=METERS[meter].unit, today=now.date())
        if meter
        else None,
        "breakdowns": [
            breakdown_table(title, by, rows)
            for title, by, rows in (
                (gettext("Agent"), gettext("By agent"), report["by_agent"]),
                (gettext("Model"), gettext("By model"), report["by_model"]),
                (gettext("User"), gettext("By user"), report["by_user"]),
            )
        ],
    }
    return render(request, "shared/usage.html", context)


@shared
def shared_usage_file(request: HttpRequest, link: ReportLink, form: str) -> HttpResponse:
    if form not in _FILES:
        raise NotFound(gettext("There is no such file."))
    _, _, report = _report(request, link)
    file = usage_file(report, form)
    name = f'attachment; filename="{file.name}"'
    return HttpResponse(file.content, content_type=file.content_type, headers={"Content-Disposition": name})


def _report(request: HttpRequest, link: ReportLink) -> tuple[BilledCustomer, Period, UsageReport]:
    now = clock.now()
    customer = directory().customer(tenant_id=link.tenant_id)
    if customer is None or customer.team_id != link.team_id:
        raise NotFound(gettext("There is no such report any more."))
    raw = request.GET.get("period")
    period = period_parse(raw) if raw else period_of(now)
    if not customer.lived_in(period) or period.start > now:
        raise NotFound(gettext("There is no report for %(period)s.") % {"period": period.key})
    report = usage_report(tenant=customer, period=period.key, card=customer.fallback, as_of=now)
    return customer, period, report


def _periods(customer: BilledCustomer, now: datetime) -> list[str]:
    """The months this tenant has lived in, newest first."""
    found, start, last = [], month_start(customer.created_at), month_start(customer.ended_at or now)
    while start <= last:
        found.append(f"{start:%Y-%m}")
        start = next_month(start)
    return found[::-1][:MOST_PERIODS]


def _count(link: ReportLink, now: datetime) -> None:
    """Raises TooMany. Without Redis requests go uncounted: it must not take the page with it."""
    key = f"report-link:{link.pk.hex}:{int(now.timestamp()) // _MINUTE_S}"
    try:
        cache.add(key, 0, timeout=2 * _MINUTE_S)
        used: Any = cache.incr(key)
    except Exception as error:
        log.warning("shared.uncounted", error=type(error).__name__)
        return
    if used > LIMIT:
        raise TooMany(
            gettext("This link was read %(number)d times within a minute.") % {"number": LIMIT},
            hint=gettext("Wait a minute, then load it again."),
        )
