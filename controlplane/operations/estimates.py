"""How long an operation usually takes, from finished ones of its kind, plan and target.

Told as a range, since single durations vary; not told at all under three samples, since two are no custom.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from controlplane.operations import states
from controlplane.operations.models import Operation, Step

#: Fewer finished operations say nothing.
LEAST: Final = 3
#: The newest of them count: machines and programs change.
MOST: Final = 50


@dataclass(frozen=True)
class StepTime:
    """A step that ran: whose, which, and for how many seconds."""

    operation: object
    name: str
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """Seconds of work, without waiting for a worker or a person; `steps` has the 95th percentile of each step."""

    samples: int
    p50_s: float
    p95_s: float
    steps: Mapping[str, float]


@dataclass(frozen=True)
class Pace:
    """How an open operation does against its estimate. `slow_step` is set once it is past the range."""

    estimate: Estimate
    worked_s: float
    late: bool
    slow_step: str = ""
    slow_step_p95_s: float | None = None


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; `values` need not be in order and must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def estimate_of(times: Iterable[StepTime]) -> Estimate | None:
    """None under LEAST operations."""
    totals: dict[object, float] = defaultdict(float)
    by_step: dict[str, list[float]] = defaultdict(list)
    for each in times:
        totals[each.operation] += each.seconds
        by_step[each.name].append(each.seconds)
    if len(totals) < LEAST:
        return None
    whole = list(totals.values())
    return Estimate(
        samples=len(whole),
        p50_s=percentile(whole, 0.5),
        p95_s=percentile(whole, 0.95),
        steps={name: percentile(seconds, 0.95) for name, seconds in by_step.items()},
    )


def pace_of(estimate: Estimate, steps: Iterable[Step], now: datetime) -> Pace:
    """Past the range, the step that is furthest over its own 95th percentile is named."""
    worked = {
        step.name: (step.finished_at or now) - step.started_at
        for step in steps
        if step.started_at is not None and step.state != states.STEP_SKIPPED
    }
    total = sum(worked.values(), timedelta(0)).total_seconds()
    if total <= estimate.p95_s:
        return Pace(estimate, total, late=False)
    over = {name: spent.total_seconds() - estimate.steps.get(name, 0.0) for name, spent in worked.items()}
    slow = max(over, key=lambda name: over[name])
    return Pace(estimate, total, late=True, slow_step=slow, slow_step_p95_s=estimate.steps.get(slow))


def operation_pace(*, operation: Operation, steps: Iterable[Step], now: datetime) -> Pace | None:
    """None where too few like it have finished, and for what runs no more."""
    if operation.state not in states.OPEN:
        return None
    like_it = (
        Operation.objects.filter(
            kind=operation.kind,
            state=states.SUCCEEDED,
            # Work that was interrupted or begun twice tells nothing of an undisturbed one.
            attempt=1,
            takeovers=0,
            tenant__plan=operation.tenant.plan,
            tenant__target=operation.tenant.target,
        )
        .order_by("-finished_at")
        .values("pk")[:MOST]
    )
    ran = Step.objects.filter(operation__in=like_it, started_at__isnull=False, finished_at__isnull=False)
    times = [
        StepTime(step.operation_id, step.name, (step.finished_at - step.started_at).total_seconds())
        for step in ran
        if step.started_at is not None and step.finished_at is not None
    ]
    estimate = estimate_of(times)
    return None if estimate is None else pace_of(estimate, steps, now)
