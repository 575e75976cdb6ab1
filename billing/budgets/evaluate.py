"""Evaluating budgets: figures, thresholds, alerts, standings. The clock calls it each minute, people when they like.

What is measured is measured outside of a transaction; what follows from it is decided with the budget's row locked, so
that two evaluations at once fire once.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction

from billing.budgets.figures import Figures, Spends, budget_spend, customers_of
from billing.budgets.forecast import Spend
from billing.budgets.models import CLOSED, Budget, BudgetAlert
from billing.budgets.notices import notices_queue
from billing.budgets.thresholds import ACTUAL, ALERT, Threshold, thresholds_read
from billing.directory import directory
from billing.exact import money_text
from billing.period import Period, period_of
from billing.standing.selectors import tenants_held
from billing.standing.services import standing_hold, standing_release
from billing.standing.states import BLOCK_RUNS, CAPPED, RESUME_AFTERWARDS, SCALE_GPU_TO_ZERO
from controlplane.core.audit import audit_record
from controlplane.core.errors import FreeholdError

log = structlog.get_logger()

INTERVAL: Final = timedelta(minutes=1)
ACTOR: Final = "system:budgets"


def budgets_evaluate_due(
    *, now: datetime, limit: int = 500, until: Callable[[], bool] = lambda: False
) -> int:
    """Evaluates budgets whose turn has come, the longest waiting first; how many. Stops where `until` says so: the rest
    keeps its turn."""
    spends, done = Spends(now), 0
    due = Budget.objects.filter(next_evaluation_at__lte=now).order_by("next_evaluation_at", "pk")
    for pk, turn in due.values_list("pk", "next_evaluation_at")[:limit]:
        if until():
            break
        claimed = Budget.objects.filter(pk=pk, next_evaluation_at=turn)
        if claimed.update(next_evaluation_at=now + INTERVAL) == 1:
            budget_evaluate(budget_id=pk, spends=spends)
            done += 1
    return done


def budget_evaluate(*, budget_id: UUID, spends: Spends) -> Budget | None:
    """Measures and acts. None when the budget is gone. A budget that cannot be evaluated says so in `problem`, and does
    what its `on_unknown` says; it stops no other one."""
    budget = Budget.objects.filter(pk=budget_id).first()
    if budget is None:
        return None
    spend: Spend | None = None
    figures: Figures | None = None
    problem = ""
    try:
        spend, figures = budget_spend(budget, spends)
    except FreeholdError as error:
        problem = error.detail
    except Exception as error:
        # A surprise in one tenant's figures must not leave the caps of all others unwatched.
        log.exception("budgets.surprise", budget=str(budget_id))
        problem = f"Its figures could not be computed ({type(error).__name__})."
    return _settle(budget_id, spend, figures, problem, spends)


@transaction.atomic
def _settle(
    budget_id: UUID, spend: Spend | None, figures: Figures | None, problem: str, spends: Spends
) -> Budget | None:
    now = spends.as_of
    budget = Budget.objects.select_for_update().filter(pk=budget_id).first()
    if budget is None:
        return None
    if budget.tried_at is not None and budget.tried_at > now:
        return budget  # a later look has been settled already
    budget.tried_at, budget.problem = now, problem[:500]
    budget.next_evaluation_at = now + INTERVAL
    if spend is not None and figures is not None and spend.currency == budget.currency:
        budget.figures, budget.evaluated_at = dict(figures), now
        _rearm(budget, spend, spends.period, now)
        _fire(budget, spend, figures, spends.period, now)
    budget.save(update_fields=["figures", "evaluated_at", "problem", "tried_at", "next_evaluation_at"])
    hold_settle(budget=budget, now=now)
    return budget


def hold_settle(*, budget: Budget, now: datetime) -> None:
    """Holds the standing of the budget's tenants by what fired in this month, and lets go of all others. The budget's
    row must be locked."""
    period = period_of(now)
    actions, reason = _wanted(budget, period)
    held = tenants_held(source=source_of(budget))
    if actions:
        for tenant_id in _tenants_of(budget, period):
            standing_hold(
                tenant_id=tenant_id,
                team_id=budget.team_id,
                source=source_of(budget),
                standing=CAPPED,
                reason=reason,
                actions=actions,
                at=now,
                actor=ACTOR,
            )
            held.discard(tenant_id)
    for tenant_id in sorted(held):
        standing_release(
            tenant_id=tenant_id, team_id=budget.team_id, source=source_of(budget), at=now, actor=ACTOR
        )


def _tenants_of(budget: Budget, period: Period) -> list[UUID]:
    """Whom it holds. Of a tenant's own budget without asking anybody: what cannot be asked may be why it holds."""
    if budget.tenant_id is not None:
        return [budget.tenant_id]
    return [customer.id for customer in customers_of(budget, period) if customer.ended_at is None]


def source_of(budget: Budget) -> str:
    return f"budget:{budget.pk}"


def alerts_active(budget: Budget, period: Period) -> list[tuple[BudgetAlert, Threshold]]:
    """What has fired in the period and still stands, for thresholds that the budget still has; the newest first."""
    by_key = {threshold.key: threshold for threshold in thresholds_read(budget.thresholds)}
    alerts = budget.alerts.filter(period=period.key, rearmed_at__isnull=True).order_by("-fired_at", "-pk")
    return [
        (alert, by_key[key])
        for alert in alerts
        if (key := (alert.on, Decimal(alert.percent).normalize())) in by_key
    ]


def _wanted(budget: Budget, period: Period) -> tuple[list[str], str]:
    """(actions of the standing, its reason in words)."""
    capping = [
        (alert, threshold)
        for alert, threshold in alerts_active(budget, period)
        if set(threshold.actions) - {ALERT}
    ]
    actions = {action for _, threshold in capping for action in threshold.actions} - {ALERT}
    if budget.problem and budget.on_unknown == CLOSED:
        reason = (
            f"The budget {budget.name} cannot be evaluated and is set to block runs then: {budget.problem}"
        )
        actions.add(BLOCK_RUNS)
    elif capping:
        reason = _reason(budget, *capping[0])
    else:
        return [], ""
    if SCALE_GPU_TO_ZERO in actions and budget.resume_afterwards:
        actions.add(RESUME_AFTERWARDS)
    return sorted(actions), reason


def _reason(budget: Budget, alert: BudgetAlert, threshold: Threshold) -> str:
    whose = "" if budget.tenant_id is not None else " of all tenants together"
    said = "is spent" if alert.on == ACTUAL else "is forecast to be spent by the end of the month"
    amount = money_text(budget.amount, budget.currency)
    percent = threshold.as_wire()["percent"]
    return f"{percent} % of the budget {budget.name}{whose} ({amount} {budget.currency} for {alert.period}) {said}."


def _rearm(budget: Budget, spend: Spend, period: Period, now: datetime) -> None:
    """Alerts below a budget that was raised above them may fire again. A forecast that merely fell re-arms nothing:
    it would fire at every turn."""
    for alert, threshold in alerts_active(budget, period):
        if alert.amount < budget.amount and not threshold.reached(_value(threshold, spend), budget.amount):
            budget.alerts.filter(pk=alert.pk, rearmed_at__isnull=True).update(rearmed_at=now)


def _fire(budget: Budget, spend: Spend, figures: Figures, period: Period, now: datetime) -> None:
    for threshold in thresholds_read(budget.thresholds):
        value = _value(threshold, spend)
        if not threshold.reached(value, budget.amount):
            continue
        alert, fired = BudgetAlert.objects.get_or_create(
            budget=budget,
            period=period.key,
            on=threshold.on,
            percent=threshold.percent,
            rearmed_at=None,
            defaults={
                "actions": list(threshold.actions),
                "amount": budget.amount,
                "value": value,
                "figures": figures,
                "fired_at": now,
            },
        )
        if not fired:
            continue
        audit_record(
            at=now,
            actor=ACTOR,
            action="billing.budget.reached",
            subject_type="budget",
            subject_id=str(budget.pk),
            team_id=budget.team_id,
            data={"name": budget.name, **threshold.as_wire(), "value": str(value), "period": period.key},
        )
        if ALERT in threshold.actions:
            customer = directory().customer(tenant_id=budget.tenant_id) if budget.tenant_id else None
            notices_queue(budget=budget, alert=alert, tenant=customer.slug if customer else None)


def _value(threshold: Threshold, spend: Spend) -> Decimal:
    return spend.spent if threshold.on == ACTUAL else spend.forecast
