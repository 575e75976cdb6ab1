"""How long an operation usually takes: a range from finished ones like it, and the slow step once it is late."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.estimates import (
    StepTime,
    estimate_of,
    operation_pace,
    pace_of,
    percentile,
)
from controlplane.operations.models import Operation, Step
from tests.portal import stories
from tests.support.people import Person

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


def _times(*durations: tuple[float, float]) -> list[StepTime]:
    return [
        StepTime(number, name, seconds)
        for number, pair in enumerate(durations)
        for name, seconds in zip((states.STEP_PLAN, states.STEP_APPLY), pair, strict=True)
    ]


def _step(name: str, began_s: float, ended_s: float | None = None) -> Step:
    return Step(
        name=name,
        state=states.STEP_RUNNING if ended_s is None else states.STEP_SUCCEEDED,
        started_at=NOW - timedelta(seconds=began_s),
        finished_at=None if ended_s is None else NOW - timedelta(seconds=ended_s),
    )


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_one_of_the_values_and_enough_are_below_it(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9


def test_two_operations_are_no_custom_and_three_are() -> None:
    assert estimate_of(_times((1, 5), (1, 6))) is None
    found = estimate_of(_times((1, 5), (1, 6), (2, 9)))
    assert found is not None
    assert (found.samples, found.p50_s, found.p95_s) == (3, 7, 11)
    assert found.steps == {states.STEP_PLAN: 2, states.STEP_APPLY: 9}


def test_past_the_range_the_slow_step_is_named_and_not_before() -> None:
    estimate = estimate_of(_times((1, 5), (1, 6), (2, 9)))
    assert estimate is not None
    plan = _step(states.STEP_PLAN, 20, 18.5)

    in_time = pace_of(estimate, [plan, _step(states.STEP_APPLY, 9)], NOW)
    late = pace_of(estimate, [plan, _step(states.STEP_APPLY, 18)], NOW)
    slow_plan = pace_of(estimate, [_step(states.STEP_PLAN, 30, 10), _step(states.STEP_APPLY, 8)], NOW)

    assert (in_time.late, in_time.slow_step, in_time.worked_s) == (False, "", 10.5)
    assert (late.late, late.slow_step, late.slow_step_p95_s) == (True, states.STEP_APPLY, 9)
    assert slow_plan.slow_step == states.STEP_PLAN, "the step that took too long, not the one that runs"


@pytest.mark.django_db
def test_only_operations_like_it_count(owner: Person) -> None:
    now = clock.now()
    for number in range(3):
        stories.provisioned(owner.principal, f"like-{number}", now)
    stories.provisioned(owner.principal, "bigger", now, plan="pro")
    _, waiting = stories.request(owner.principal, "acme", now)
    steps = list(waiting.steps.all())

    found = operation_pace(operation=waiting, steps=steps, now=now)
    assert found is not None
    assert (found.estimate.samples, found.worked_s, found.late) == (3, 0.0, False)
    assert 0 < found.estimate.p50_s <= found.estimate.p95_s

    Operation.objects.filter(tenant__slug="like-0").update(takeovers=1)
    assert operation_pace(operation=waiting, steps=steps, now=now) is None, (
        "what was taken over tells nothing"
    )
    ended = Operation.objects.get(tenant__slug="like-1")
    assert operation_pace(operation=ended, steps=[], now=now) is None
