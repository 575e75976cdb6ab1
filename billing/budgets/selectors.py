"""Reads of budgets. Who may see a tenant is decided by whoever asks; a budget is found only through its owner."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from billing.budgets.models import CLOSED, Budget, BudgetAlert
from billing.budgets.thresholds import thresholds_read
from billing.exact import WIDE, decimal_text, money_text
from billing.period import period_of
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import NotFound
from controlplane.core.outbound.models import EMAIL, WEBHOOK, OutboundEndpoint, OutboundMessage

#: An evaluation older than this says that nobody evaluates any more.
STALE: Final = timedelta(minutes=5)


def budgets_of(*, team_id: UUID, tenant_id: UUID | None) -> QuerySet[Budget]:
    """The tenant's own, or with None those of the whole fleet."""
    return Budget.objects.filter(team_id=team_id, tenant_id=tenant_id)


def budget_get(*, team_id: UUID, tenant_id: UUID | None, budget_id: UUID) -> Budget:
    found = budgets_of(team_id=team_id, tenant_id=tenant_id).filter(pk=budget_id).first()
    if found is None:
        raise NotFound("There is no such budget.")
    return found


def budget_etag(budget: Budget) -> str:
    return f'"{int(budget.updated_at.timestamp() * 1_000_000):x}"'


def budget_representation(budget: Budget, *, tenant: str | None, now: datetime) -> dict[str, Any]:
    """The budget as the API shows it; `tenant` is the slug, None for the fleet's."""
    endpoint = OutboundEndpoint.objects.filter(pk=budget.endpoint_id).first() if budget.endpoint_id else None
    return {
        "id": str(budget.pk),
        "scope": "fleet" if budget.tenant_id is None else "tenant",
        "tenant": tenant,
        "name": budget.name,
        "amount": money_text(budget.amount, budget.currency),
        "currency": budget.currency,
        "period": "month",
        "thresholds": budget.thresholds,
        "on_unknown": budget.on_unknown,
        "resume_afterwards": budget.resume_afterwards,
        "emails": budget.emails,
        "webhook_url": endpoint.url if endpoint else None,
        "created_by": budget.created_by,
        "created_at": moment_text(budget.created_at),
        "updated_at": moment_text(budget.updated_at),
        "status": budget_status(budget, now=now),
        "alerts": alerts_representation(list(budget.alerts.order_by("-fired_at", "-pk")[:20])),
    }


def budget_status(
    budget: Budget, *, now: datetime, alerts: Iterable[BudgetAlert] | None = None
) -> dict[str, Any]:
    """What was last evaluated, and what holds now. `state`: pending (not evaluated in this month yet), unknown (cannot
    be evaluated, or was not for five minutes), ok, reached (a threshold), exceeded (all of it is spent). `alerts`: the
    budget's, where they are at hand."""
    period = period_of(now)
    figures = budget.figures if budget.figures and budget.figures["period"] == period.key else None
    problem = budget.problem
    if not problem and budget.tried_at is not None and now - budget.tried_at > STALE:
        problem = f"It was last evaluated at {moment_text(budget.tried_at)}: see that the scheduler runs."
    fired = {
        (alert.on, Decimal(alert.percent).normalize()): alert
        for alert in (budget.alerts.filter(period=period.key) if alerts is None else alerts)
        if alert.period == period.key and alert.rearmed_at is None
    }
    return {
        "state": _state(budget, figures, problem, bool(fired)),
        "period": period.as_wire(),
        "spent": figures["spent"] if figures else None,
        "committed": figures["committed"] if figures else None,
        "run_rate": figures["run_rate"] if figures else None,
        "forecast": figures["forecast"] if figures else None,
        "spent_percent": _percent(figures["spent"], budget.amount) if figures else None,
        "forecast_percent": _percent(figures["forecast"], budget.amount) if figures else None,
        "tenants": figures["tenants"] if figures else [],
        "thresholds": [
            {
                **threshold.as_wire(),
                "amount": decimal_text(threshold.limit(budget.amount)),
                "reached": threshold.key in fired,
                "fired_at": moment_text(fired[threshold.key].fired_at) if threshold.key in fired else None,
            }
            for threshold in thresholds_read(budget.thresholds)
        ],
        "evaluated_at": moment_text_or_none(budget.evaluated_at),
        "next_evaluation_at": moment_text(budget.next_evaluation_at),
        "problem": problem,
        "while_unknown": "new runs are blocked"
        if budget.on_unknown == CLOSED
        else "nothing changes: what is blocked stays blocked, and nothing else is",
    }


def alerts_representation(alerts: Sequence[BudgetAlert]) -> list[dict[str, Any]]:
    """With what became of their messages."""
    keys = {alert_key(alert, channel): alert.pk for alert in alerts for channel in (EMAIL, WEBHOOK)}
    messages: dict[UUID, list[OutboundMessage]] = {}
    for message in OutboundMessage.objects.filter(key__in=list(keys)).order_by("channel"):
        messages.setdefault(keys[message.key], []).append(message)
    return [_alert(alert, messages.get(alert.pk, [])) for alert in alerts]


def alert_key(alert: BudgetAlert, channel: str) -> str:
    """Of the one message that tells the alert there."""
    return f"budget-alert:{alert.pk}:{channel}"


def _alert(alert: BudgetAlert, messages: Sequence[OutboundMessage]) -> dict[str, Any]:
    return {
        "id": str(alert.pk),
        "period": alert.period,
        "percent": decimal_text(alert.percent),
        "on": alert.on,
        "actions": alert.actions,
        "amount": decimal_text(alert.amount),
        "value": decimal_text(alert.value),
        "spent": alert.figures["spent"],
        "run_rate": alert.figures["run_rate"],
        "forecast": alert.figures["forecast"],
        "fired_at": moment_text(alert.fired_at),
        "rearmed_at": moment_text_or_none(alert.rearmed_at),
        "deliveries": [delivery_representation(message) for message in messages],
    }


def delivery_representation(message: OutboundMessage) -> dict[str, Any]:
    return {
        "channel": message.channel,
        "state": message.state,
        "attempts": message.attempts,
        "last_error": message.last_error,
        "ended_at": moment_text_or_none(message.ended_at),
    }


def _state(budget: Budget, figures: Any, problem: str, fired: bool) -> str:
    if problem:
        return "unknown"
    if figures is None:
        return "pending"
    if Decimal(figures["spent"]) >= budget.amount:
        return "exceeded"
    return "reached" if fired else "ok"


def _percent(value: str, amount: Decimal) -> str:
    share = WIDE.divide(WIDE.multiply(Decimal(value), Decimal(100)), amount)
    return decimal_text(share.quantize(Decimal("0.01"), context=WIDE))
