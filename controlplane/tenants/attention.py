"""Tenants that want somebody: what failed last, is not healthy or not in good standing; and how many there are of each.

Reads only, and as many queries for a thousand tenants as for one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, JSONObject

from billing.standing.models import Standing
from controlplane.accounts.access import Principal
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants import states
from controlplane.tenants.models import HealthChange, Tenant

#: Rows of one overview; a list of more is the page of tenants.
SHOWN: Final = 50


@dataclass(frozen=True)
class Trouble:
    """`failed` is the tenant's newest operation where that failed: {id, kind, title, at}. `health` is empty where it is
    fine, and so is `standing`; `problem` says why what the standing asks for could not be done yet."""

    slug: str
    #: Its newest operation was canceled after it had begun to change things, and nothing came after it.
    halfway: bool
    health: str
    health_detail: str
    health_since: datetime | None
    failed: dict[str, Any] | None
    standing: str
    standing_reason: str
    standing_since: datetime | None
    problem: str
    updated_at: datetime


def tenants_troubled(*, principal: Principal) -> list[Trouble]:
    """Living tenants whose newest operation failed or ended halfway, that are up and not healthy, or not current."""
    newest = Operation.objects.filter(tenant_id=OuterRef("pk")).order_by("-created_at", "-pk")
    changed = HealthChange.objects.filter(tenant_id=OuterRef("pk"), component="").order_by("-at", "-pk")
    last = JSONObject(
        id=F("pk"), state=F("state"), kind=F("kind"), title=F("error__title"), at=F("finished_at")
    )
    told = JSONObject(at=F("at"), health=F("health"), detail=F("detail"))
    stands = JSONObject(reason=F("reason"), since=F("since"))
    found = (
        _living(principal)
        .annotate(
            last=Subquery(newest.annotate(told=last).values("told")[:1]),
            changed=Subquery(changed.annotate(told=told).values("told")[:1]),
            stands=Subquery(
                Standing.objects.filter(pk=OuterRef("pk")).annotate(told=stands).values("told")[:1]
            ),
        )
        .filter(
            ~Q(billing=states.CURRENT)
            | Q(last__state=operation_states.FAILED)
            | Q(lifecycle=states.FAILED) & ~Q(last__state__in=sorted(operation_states.OPEN))
            | Q(lifecycle=states.ACTIVE, health__in=(states.DEGRADED, states.UNHEALTHY))
        )
    )
    rows = found.order_by("-health", "slug").values(
        "slug",
        "lifecycle",
        "health",
        "billing",
        "last",
        "changed",
        "stands",
        "updated_at",
        problem=Coalesce(F("standing_enactment__problem"), Value("")),
    )
    return [_trouble(row) for row in rows[:SHOWN]]


def fleet_counts(*, principal: Principal) -> dict[str, dict[str, int]]:
    """{lifecycle: {word: n}, health: {word: n}} of living tenants; health counts those that are up."""
    rows = list(_living(principal).values_list("lifecycle", "health").annotate(count=Count("pk")).order_by())
    lifecycles = {word: 0 for word in states.LIFECYCLES if word != states.DEPROVISIONED}
    healths = dict.fromkeys(states.HEALTHS, 0)
    for lifecycle, health, count in rows:
        lifecycles[lifecycle] += count
        if lifecycle == states.ACTIVE:
            healths[health] += count
    return {"lifecycle": lifecycles, "health": healths}


def tenant_books(*, principal: Principal) -> QuerySet[Tenant, UUID]:
    """The ids of every tenant that ever was, as a subquery: money is counted after its tenant is gone too."""
    return _visible(principal).values_list("pk", flat=True)


def _trouble(row: Mapping[str, Any]) -> Trouble:
    last, stands = row["last"], row["stands"] or {}
    ill = row["lifecycle"] == states.ACTIVE and row["health"] in (states.DEGRADED, states.UNHEALTHY)
    bad = row["billing"] != states.CURRENT
    # The history of a health that has changed since says nothing of this one.
    known = row["changed"] if row["changed"] and row["changed"]["health"] == row["health"] else {}
    begun = bool(last) and last["state"] in operation_states.OPEN
    failed = bool(last) and last["state"] == operation_states.FAILED
    return Trouble(
        slug=row["slug"],
        halfway=row["lifecycle"] == states.FAILED and not failed and not begun,
        health=row["health"] if ill else "",
        health_detail=known.get("detail", ""),
        health_since=_moment(known.get("at")),
        failed={**last, "at": _moment(last["at"])} if failed else None,
        standing=row["billing"] if bad else "",
        standing_reason=stands.get("reason", ""),
        standing_since=_moment(stands.get("since")),
        problem=row["problem"] if bad else "",
        updated_at=row["updated_at"],
    )


def _moment(raw: str | None) -> datetime | None:
    return datetime.fromisoformat(raw) if raw else None


def _visible(principal: Principal) -> QuerySet[Tenant]:
    found = Tenant.objects.filter(team_id=principal.team_id)
    return found if principal.tenant_ids is None else found.filter(pk__in=principal.tenant_ids)


def _living(principal: Principal) -> QuerySet[Tenant]:
    return _visible(principal).exclude(lifecycle=states.DEPROVISIONED)
