"""A tenant's own pages for whoever holds a link to them, without a login: those of the link's scope, nothing else."""

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, Final

import structlog
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_safe

from billing.reports.links import SHOWS, report_link_follow
from billing.reports.models import ReportLink
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, ValidationFailed
from controlplane.portal import customer_pages
from controlplane.portal.pages import failure
from controlplane.portal.spoken import spoken
from controlplane.portal.visitors import CustomerPage, Visitor, visitor_require

log = structlog.get_logger()

#: Requests a minute for each link. A made-up link costs no more than checking its signature, so it is not counted.
LIMIT: Final = 60
_MINUTE_S: Final = 60


class TooMany(FreeholdError):
    status = 429
    code = "rate_limited"
    title = gettext_noop("Too many requests")


def shared(page: str, view: CustomerPage) -> Callable[..., HttpResponse]:
    """Opens the link, counts the request, and keeps the page out of caches, search engines and referrers: its address
    is what lets people in."""

    @wraps(view)
    def answer(request: HttpRequest, token: str, **kwargs: Any) -> HttpResponse:
        now = clock.now()
        try:
            link = report_link_follow(token=token, now=now)
            _count(link, now)
            visitor = _visitor(link, token)
            visitor_require(visitor, page)
            response = view(request, visitor, **kwargs)
        except ValidationFailed as error:
            response = failure(
                request, NotFound(gettext("There is no report for that."), hint=spoken(error.detail))
            )
        except FreeholdError as error:
            response = failure(request, error)
            if isinstance(error, TooMany):
                response.headers["Retry-After"] = str(_MINUTE_S)
        response.headers["Cache-Control"] = "private, no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return require_safe(answer)


def _visitor(link: ReportLink, token: str) -> Visitor:
    places = {page: reverse(f"portal:shared-{page}", args=[token]) for page in SHOWS[link.scope]}
    return Visitor(team_id=link.team_id, tenant_id=link.tenant_id, places=places, ends_at=link.expires_at)


shared_usage = shared("usage", customer_pages.usage_page)
shared_usage_file = shared("usage", customer_pages.usage_page_file)
shared_invoices = shared("invoices", customer_pages.invoices_page)
shared_invoice = shared("invoices", customer_pages.invoice_page)
shared_invoice_file = shared("invoices", customer_pages.invoice_page_file)
shared_health = shared("health", customer_pages.health_page)
shared_agents = shared("agents", customer_pages.agents_page)


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
