"""What saving a budget would do, before it is saved. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.budgets.effect import BudgetEffect, budget_effect
from billing.budgets.evaluate import alerts_active, source_of
from billing.budgets.figures import Figures, Spends, budget_spend, customers_of
from billing.budgets.forecast import Spend
from billing.budgets.models import Budget
from billing.budgets.thresholds import thresholds_read
from billing.metering.catalogue import METERS
from billing.metering.measure import measure_tenants
from billing.metering.windows import Window
from billing.standing.selectors import actions_held


@dataclass(frozen=True)
class BudgetPreview:
    """`agents` are those that ran in this month, `tenants` whom the budget is about and who still live; `held` is what
    the budget as it is now holds."""

    spend: Spend
    figures: Figures
    effect: BudgetEffect
    agents: int
    tenants: int
    held: frozenset[str]


def budget_preview(*, draft: Budget, stored: Budget | None, now: datetime) -> BudgetPreview:
    """`draft` is not saved (services.budget_draft); `stored` is the budget that it would change.

    Raises FreeholdError where the figures cannot be told, as an evaluation would.
    """
    spends = Spends(now)
    spend, figures = budget_spend(draft, spends)
    period = spends.period
    living = [each for each in customers_of(draft, period) if each.ended_at is None]
    return BudgetPreview(
        spend=spend,
        figures=figures,
        effect=budget_effect(
            amount=draft.amount,
            thresholds=thresholds_read(draft.thresholds),
            spend=spend,
            as_of=now,
            ends=period.end,
            fired={} if stored is None else _fired(stored, spends),
        ),
        agents=len(
            measure_tenants(
                tenant_ids=[each.id for each in living],
                meter=METERS["agent_runs"],
                windows=[Window(period.start, period.end)],
                as_of=now,
                group_by=("agent",),
            )
        ),
        tenants=len(living),
        held=frozenset() if stored is None else actions_held(source=source_of(stored)),
    )


def _fired(stored: Budget, spends: Spends) -> dict[tuple[str, Decimal], Decimal]:
    return {threshold.key: alert.amount for alert, threshold in alerts_active(stored, spends.period)}
