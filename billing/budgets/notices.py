"""What a reached threshold tells people and programs: the event `budget.reached`."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from billing.budgets.models import Budget, BudgetAlert
from billing.budgets.selectors import alert_key
from billing.budgets.thresholds import ACTUAL
from billing.exact import decimal_text, money_text
from controlplane.core.clock import moment_text
from controlplane.core.outbound.models import EMAIL, WEBHOOK
from controlplane.core.outbound.services import email_queue, webhook_queue

EVENT: Final = "budget.reached"


def notices_queue(*, budget: Budget, alert: BudgetAlert, tenant: str | None) -> None:
    """Puts the alert's messages into the outbox, in the transaction of the alert; `tenant` is the slug, None for a
    budget of all."""
    data = notice_data(budget=budget, alert=alert, tenant=tenant)
    if budget.endpoint_id is not None:
        webhook_queue(
            team_id=budget.team_id,
            key=alert_key(alert, WEBHOOK),
            endpoint_id=budget.endpoint_id,
            type=EVENT,
            data=data,
            at=alert.fired_at,
        )
    if budget.emails:
        email_queue(
            team_id=budget.team_id,
            key=alert_key(alert, EMAIL),
            recipients=budget.emails,
            subject=_subject(data),
            text=_text(data),
            at=alert.fired_at,
        )


def notice_data(*, budget: Budget, alert: BudgetAlert, tenant: str | None) -> dict[str, Any]:
    """`data` of the event: the budget, the threshold, and what was known when it fired."""
    return {
        "alert_id": str(alert.pk),
        "budget": {
            "id": str(budget.pk),
            "name": budget.name,
            "amount": money_text(alert.amount, budget.currency),
            "currency": budget.currency,
        },
        "tenant": tenant,
        "period": alert.period,
        "threshold": {
            "percent": decimal_text(alert.percent),
            "on": alert.on,
            "actions": list(alert.actions),
        },
        "spent": alert.figures["spent"],
        "run_rate": alert.figures["run_rate"],
        "forecast": alert.figures["forecast"],
        "reached_at": moment_text(alert.fired_at),
    }


def notice_sample(*, currency: str, tenant: str | None, now: datetime) -> dict[str, Any]:
    """Such `data`, made up, for whoever writes what receives it."""
    budget = Budget(name="Platform", currency=currency)
    figures = {"spent": "401.20", "run_rate": "0.84", "forecast": "512.75"}
    alert = BudgetAlert(
        budget=budget, period=f"{now:%Y-%m}", on=ACTUAL, percent=Decimal(80), actions=["alert"],
        amount=Decimal(500), value=Decimal("401.20"), figures=figures, fired_at=now,
    )  # fmt: skip
    return notice_data(budget=budget, alert=alert, tenant=tenant)


def _subject(data: dict[str, Any]) -> str:
    whose = data["tenant"] or "all tenants"
    measure = "spent" if data["threshold"]["on"] == ACTUAL else "forecast"
    return f"{whose}: {data['threshold']['percent']} % of the budget {data['budget']['name']} {measure}"


def _text(data: dict[str, Any]) -> str:
    currency = data["budget"]["currency"]
    effects = {
        "alert": "this message",
        "block_runs": "new runs are blocked",
        "scale_gpu_to_zero": "the tenant is suspended and its GPUs are released",
    }
    lines = [
        f"{_subject(data)}.",
        "",
        f"Budget:    {data['budget']['amount']} {currency} for {data['period']}",
        f"Spent:     {data['spent']} {currency}",
        f"Run rate:  {data['run_rate']} {currency} an hour, of what is open",
        f"Forecast:  {data['forecast']} {currency} at the end of the month",
        f"At:        {data['reached_at']}",
        "",
        f"What follows: {', '.join(effects[action] for action in data['threshold']['actions'])}.",
        "It is undone when the budget is raised above what is spent, or when the next month begins.",
    ]
    return "\n".join(lines) + "\n"
