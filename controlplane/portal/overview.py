"""The overview: what needs whoever looks, how the fleet is, and what it earns."""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from billing.attention import SHOWN as CHORES_SHOWN
from billing.attention import budgets_reached, chores_open
from billing.ledger.trend import MonthLine, margin_trend, months_until
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_allows
from controlplane.core import clock
from controlplane.operations import states as operation_states
from controlplane.operations.attention import SHOWN as OPERATIONS_SHOWN
from controlplane.operations.attention import operations_open
from controlplane.portal.kept import kept
from controlplane.portal.needs import needs_of
from controlplane.portal.pages import page, show
from controlplane.portal.trend import trend_chart
from controlplane.tenants import states
from controlplane.tenants.attention import SHOWN as TENANTS_SHOWN
from controlplane.tenants.attention import fleet_counts, tenant_books, tenants_troubled
from controlplane.tenants.models import Tenant

MONTHS = 6
#: So old the figures of the trend may be; the page says when they were summed up.
TREND_KEPT_S = 300
LIFECYCLES = tuple(word for word in states.LIFECYCLES if word != states.DEPROVISIONED)


@page(roles.TENANTS_READ)
def overview(request: HttpRequest, principal: Principal) -> HttpResponse:
    now = clock.now()
    books = tenant_books(principal=principal)
    whole = principal.tenant_ids is None
    bills = access_allows(principal, roles.BILLING_READ)
    opened = operations_open(principal=principal) if access_allows(principal, roles.OPERATIONS_READ) else []
    waiting = [each for each in opened if each.state == operation_states.AWAITING_APPROVAL]
    troubles = tenants_troubled(principal=principal)
    budgets = budgets_reached(team_id=principal.team_id, tenants=books, whole=whole, now=now) if bills else []
    chores = chores_open(team_id=principal.team_id, tenants=books, whole=whole, now=now) if bills else []
    counts = fleet_counts(principal=principal)
    context = {
        "needs": needs_of(
            waiting=waiting,
            troubles=troubles,
            budgets=budgets,
            chores=chores,
            slugs=_slugs([row.tenant_id for row, _ in budgets], [chore.tenant_id for chore in chores]),
            may_approve=access_allows(principal, roles.OPERATIONS_APPROVE),
        ),
        "more": len(waiting) == OPERATIONS_SHOWN
        or len(troubles) == TENANTS_SHOWN
        or len(chores) >= CHORES_SHOWN,
        "under_way": [each for each in opened if each not in waiting],
        "running": operation_states.RUNNING,
        "total": sum(counts["lifecycle"].values()),
        "lifecycles": _parts(counts["lifecycle"]),
        "healths": _parts(counts["health"]),
        "limited": not whole,
        **(_money(request, principal, books, now) if bills else {}),
    }
    return show(
        request,
        principal,
        "portal/overview.html",
        context,
        section="overview",
        crumbs=((gettext("Overview"), ""),),
    )


def _money(
    request: HttpRequest, principal: Principal, books: QuerySet[Tenant, UUID], now: datetime
) -> dict[str, Any]:
    trend, at = _trend(principal, books, now)
    if not trend:
        return {"trend": None}
    wanted = request.GET.get("currency", "")
    currency = wanted if wanted in trend else next(iter(trend))
    return {
        "currency": currency,
        "currencies": sorted(trend) if len(trend) > 1 else [],
        "months": trend[currency],
        "trend_at": at,
        "trend": trend_chart(trend[currency]),
    }


def _trend(
    principal: Principal, books: QuerySet[Tenant, UUID], now: datetime
) -> tuple[dict[str, list[MonthLine]], datetime]:
    """What the months earned, and when that was summed up: it moves once a day."""
    pool = principal.team_id if principal.tenant_ids is None else None
    return kept(
        name="overview-trend-1",
        about=f"{now:%Y-%m}",
        principal=principal,
        seconds=TREND_KEPT_S,
        now=now,
        work=lambda: margin_trend(tenants=books, pool_id=pool, months=months_until(now=now, count=MONTHS)),
    )


def _parts(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Words with how many there are; a word that nothing is in is left out."""
    return [{"word": word, "count": count} for word, count in counts.items() if count]


def _slugs(*wanted: list[UUID | None]) -> dict[UUID, str]:
    # Ids come from reads that were limited to what the principal sees.
    found = {pk for ids in wanted for pk in ids if pk is not None}
    return dict(Tenant.objects.filter(pk__in=found).values_list("pk", "slug")) if found else {}
