"""What a budget would do: the moments of its thresholds, and what stands. That an evaluation then does the same is in
tests/portal/test_budgets.py."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.budgets.effect import LATER, NOT, NOW, STANDS, BudgetEffect, budget_effect
from billing.budgets.forecast import Spend
from billing.budgets.thresholds import thresholds_parse

#: Ten days are left, in which 100 is spent on top of 200: 10 a day.
AS_OF = datetime(2026, 11, 21, tzinfo=UTC)
ENDS = datetime(2026, 12, 1, tzinfo=UTC)
SPEND = Spend("USD", Decimal(200), Decimal(0), Decimal(0), Decimal(300))
Fired = dict[tuple[str, Decimal], Decimal]


def _effect(
    amount: int, *thresholds: tuple[str, str, str], fired: Fired | None = None, spend: Spend = SPEND
) -> BudgetEffect:
    raw = [{"percent": percent, "on": on, "actions": [action]} for percent, on, action in thresholds]
    return budget_effect(
        amount=Decimal(amount),
        thresholds=thresholds_parse(raw),
        spend=spend,
        as_of=AS_OF,
        ends=ENDS,
        fired=fired or {},
    )


@pytest.mark.parametrize(
    ("amount", "percent", "state", "at"),
    [
        (200, "100", NOW, None),
        (201, "100", LATER, datetime(2026, 11, 21, 2, 24, tzinfo=UTC)),
        (250, "100", LATER, datetime(2026, 11, 26, tzinfo=UTC)),
        (300, "100", LATER, ENDS),
        (301, "100", NOT, None),
        (500, "40", NOW, None),
        (500, "50", LATER, datetime(2026, 11, 26, tzinfo=UTC)),
    ],
)
def test_the_moment_that_what_is_spent_reaches_a_threshold(
    amount: int, percent: str, state: str, at: datetime | None
) -> None:
    effect = _effect(amount, (percent, "actual", "block_runs")).thresholds[0]
    assert (effect.state, effect.at) == (state, at)
    assert effect.limit == Decimal(amount) * Decimal(percent) / 100


@pytest.mark.parametrize(("amount", "state"), [(300, NOW), (301, NOT)])
def test_a_forecast_is_reached_now_or_not_at_all(amount: int, state: str) -> None:
    assert _effect(amount, ("100", "forecast", "alert")).thresholds[0].state == state


@pytest.mark.parametrize(
    ("amount", "then", "state"),
    [
        (250, 190, LATER),  # raised above what is spent: it is taken back
        (250, 250, STANDS),  # not raised: it stands, though nothing reaches it any more
        (200, 190, STANDS),  # raised, and reached still
    ],
)
def test_what_fired_stands_unless_the_budget_was_raised_above_it(amount: int, then: int, state: str) -> None:
    fired = {("actual", Decimal(100)): Decimal(then)}
    assert _effect(amount, ("100", "actual", "block_runs"), fired=fired).thresholds[0].state == state


def test_the_first_threshold_of_an_action_is_what_holds_else_what_comes_first() -> None:
    effect = _effect(
        250, ("100", "actual", "block_runs"), ("90", "actual", "block_runs"), ("70", "actual", "alert")
    )
    first = effect.first("block_runs")
    assert first is not None
    assert (first.threshold.percent, first.at) == (Decimal(90), datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert effect.actions == {"alert"}
    assert effect.first("scale_gpu_to_zero") is None


def test_nothing_comes_when_nothing_more_is_spent() -> None:
    still = Spend("USD", Decimal(200), Decimal(0), Decimal(0), Decimal(200))
    assert _effect(201, ("100", "actual", "block_runs"), spend=still).first("block_runs") is None
