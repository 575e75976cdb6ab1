"""What a budget would do if it were saved now, from the very figures that an evaluation compares. Pure.

What is spent is taken to grow evenly from now to the forecast at the end of the month. A forecast is taken to stay as
it is: whether it reaches a threshold is known now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.budgets.forecast import Spend
from billing.budgets.thresholds import ACTUAL, Threshold
from billing.exact import WIDE

#: It fired in this month and would not be taken back.
STANDS: Final = "stands"
#: It would fire at once.
NOW: Final = "now"
#: It would fire in this month, at today's rate.
LATER: Final = "later"
#: Not in this month, at today's rate.
NOT: Final = "not"


@dataclass(frozen=True)
class ThresholdEffect:
    """`at` is set for `later` alone; `limit` is the threshold in money."""

    threshold: Threshold
    limit: Decimal
    state: str
    at: datetime | None = None

    @property
    def acts(self) -> bool:
        """Whether its actions hold as soon as the budget is saved."""
        return self.state in (STANDS, NOW)


@dataclass(frozen=True)
class BudgetEffect:
    thresholds: tuple[ThresholdEffect, ...]

    @property
    def actions(self) -> frozenset[str]:
        """What holds as soon as it is saved."""
        return frozenset(action for each in self.thresholds if each.acts for action in each.threshold.actions)

    def first(self, action: str) -> ThresholdEffect | None:
        """By which threshold the action begins; None when it does not in this month."""
        having = [each for each in self.thresholds if action in each.threshold.actions]
        holding = [each for each in having if each.acts]
        coming = sorted(
            (each for each in having if each.at is not None), key=lambda each: (each.at, each.limit)
        )
        return next(iter([*holding, *coming]), None)


def budget_effect(
    *,
    amount: Decimal,
    thresholds: Iterable[Threshold],
    spend: Spend,
    as_of: datetime,
    ends: datetime,
    fired: Mapping[tuple[str, Decimal], Decimal],
) -> BudgetEffect:
    """`ends` is the month's end. `fired`: what has fired in this month and holds, with the budget's amount then."""
    return BudgetEffect(
        tuple(_effect(each, amount, spend, as_of, ends, fired.get(each.key)) for each in thresholds)
    )


def _effect(
    threshold: Threshold,
    amount: Decimal,
    spend: Spend,
    as_of: datetime,
    ends: datetime,
    fired: Decimal | None,
) -> ThresholdEffect:
    limit = threshold.limit(amount)
    value = spend.spent if threshold.on == ACTUAL else spend.forecast
    reached = threshold.reached(value, amount)
    # As evaluate._rearm has it: only a budget that was raised takes back what fired.
    if fired is not None and (reached or fired >= amount):
        return ThresholdEffect(threshold, limit, STANDS)
    if reached:
        return ThresholdEffect(threshold, limit, NOW)
    if threshold.on == ACTUAL and spend.spent < limit <= spend.forecast and as_of < ends:
        part = WIDE.divide(WIDE.subtract(limit, spend.spent), WIDE.subtract(spend.forecast, spend.spent))
        return ThresholdEffect(threshold, limit, LATER, as_of + (ends - as_of) * float(part))
    return ThresholdEffect(threshold, limit, NOT)
