"""What of billing wants somebody: budgets, held closes, late invoices, reports and messages that failed.

Reads only. `tenants` is a subquery of the tenants that whoever asks may see; `whole` says that it may see the team's
own things too, such as budgets of the whole fleet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import (
    CharField,
    DateTimeField,
    F,
    Field,
    Func,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    UUIDField,
    Value,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, JSONObject

from billing.budgets.models import Budget, BudgetAlert
from billing.invoicing import states
from billing.invoicing.models import Invoice, TenantClose
from billing.period import period_of
from billing.reports.models import ReportDelivery
from controlplane.core.outbound.models import FAILED, OutboundMessage

#: Of each kind.
SHOWN: Final = 20
#: A message that was given up is told so long.
MESSAGES_FOR: Final = timedelta(days=7)

HELD: Final = "held"
OVERDUE: Final = "overdue"
REPORT: Final = "report"
MESSAGE: Final = "message"


@dataclass(frozen=True)
class Chore:
    """`kind`: held (a tenant in a close), overdue (an invoice), report (could not be written), message (given up).
    `label` is the month, the invoice's number or the channel; `detail` says why."""

    kind: str
    ref: UUID
    tenant_id: UUID | None
    label: str
    detail: str
    at: datetime


def budgets_reached(
    *, team_id: UUID, tenants: QuerySet[Any, UUID], whole: bool, now: datetime
) -> list[tuple[Budget, Mapping[str, Any] | None]]:
    """Budgets that reached a threshold in this month, with the highest one ({percent, on, at}), and those that cannot
    be evaluated."""
    alerts = BudgetAlert.objects.filter(
        budget=OuterRef("pk"), period=period_of(now).key, rearmed_at__isnull=True
    ).order_by("-percent", "on")
    told = JSONObject(percent=Cast(F("percent"), CharField()), on=F("on"), at=F("fired_at"))
    whose = Q(tenant_id__in=tenants) | (Q(tenant_id=None) if whole else Q())
    found = (
        Budget.objects.filter(whose, team_id=team_id)
        .annotate(top=Subquery(alerts.annotate(told=told).values("told")[:1]))
        .filter(Q(top__isnull=False) | ~Q(problem=""))
    )
    return [(budget, _alert(budget)) for budget in found.order_by("name", "pk")[: 2 * SHOWN]]


def chores_open(*, team_id: UUID, tenants: QuerySet[Any, UUID], whole: bool, now: datetime) -> list[Chore]:
    """By kind, at most SHOWN of each, the oldest first."""
    held = _rows(
        TenantClose.objects.filter(
            close__team_id=team_id,
            tenant_id__in=tenants,
            state__in=(states.TENANT_HELD, states.TENANT_FAILED),
        ),
        kind=HELD,
        label=Func(F("close__period_start"), Value("YYYY-MM"), function="to_char"),
        detail=Coalesce(KT("detail__reason"), Value("")),
        at=F("updated_at"),
    )
    late = _rows(
        Invoice.objects.filter(
            team_id=team_id, tenant_id__in=tenants, state=states.FINALIZED, due_at__lt=now
        ),
        kind=OVERDUE,
        label=F("number"),
        detail=Value(""),
        at=F("due_at"),
    )
    whose = Q(schedule__tenant_id__in=tenants) | (Q(schedule__tenant_id=None) if whole else Q())
    reports = _rows(
        ReportDelivery.objects.filter(
            whose, schedule__team_id=team_id, schedule__active=True, written_at__isnull=True
        ).exclude(problem=""),
        kind=REPORT,
        ref=F("schedule_id"),
        tenant_id=F("schedule__tenant_id"),
        label=F("period"),
        detail=F("problem"),
        at=F("created_at"),
    )
    parts = [late, reports]
    if whole:
        parts.append(
            _rows(
                OutboundMessage.objects.filter(
                    team_id=team_id, state=FAILED, ended_at__gt=now - MESSAGES_FOR
                ),
                kind=MESSAGE,
                tenant_id=Value(None),
                label=F("subject"),
                detail=F("last_error"),
                at=F("ended_at"),
            )
        )
    return [Chore(*row) for row in held.union(*parts, all=True)]


def _rows(found: QuerySet[Any], *, kind: str, **fields: Any) -> QuerySet[Any, tuple[Any, ...]]:
    """The same columns of every kind, so that one query asks for all of them."""
    columns = {"ref": F("pk"), "tenant_id": F("tenant_id"), **fields}
    kinds: dict[str, Field[Any, Any]] = {"ref": UUIDField(), "tenant_id": UUIDField(), "at": DateTimeField()}
    shown = {
        f"chore_{name}": Cast(columns[name], kinds.get(name, CharField()))
        for name in ("ref", "tenant_id", "label", "detail", "at")
    }
    found = found.order_by().annotate(chore_kind=Value(kind, CharField()), **shown)
    return found.order_by("chore_at", "chore_ref").values_list("chore_kind", *shown)[:SHOWN]


def _alert(budget: Budget) -> Mapping[str, Any] | None:
    top: Any = getattr(budget, "top", None)
    if top is None:
        return None
    return {"percent": Decimal(top["percent"]), "on": top["on"], "at": datetime.fromisoformat(top["at"])}
