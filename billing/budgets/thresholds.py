"""Thresholds of a budget: at how many percent of it what is done. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypedDict

from billing.exact import WIDE, decimal_text
from billing.standing.states import BLOCK_RUNS, SCALE_GPU_TO_ZERO
from controlplane.core.errors import FieldProblem, ValidationFailed

#: What is compared with the budget.
ACTUAL: Final = "actual"
FORECAST: Final = "forecast"
MEASURES: Final = (ACTUAL, FORECAST)
#: A message to whom the budget names. What else a threshold does is an action of the standing.
ALERT: Final = "alert"
ACTIONS: Final = (ALERT, BLOCK_RUNS, SCALE_GPU_TO_ZERO)

MOST: Final = 20
_PERCENT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?", re.ASCII)


class ThresholdWire(TypedDict):
    percent: str
    on: str
    actions: list[str]


@dataclass(frozen=True)
class Threshold:
    """Reached when what `on` names is at least `percent` of the budget's amount."""

    percent: Decimal
    on: str
    actions: tuple[str, ...]

    @property
    def key(self) -> tuple[str, Decimal]:
        """A budget has one threshold of each."""
        return self.on, self.percent

    def limit(self, amount: Decimal) -> Decimal:
        return WIDE.divide(WIDE.multiply(amount, self.percent), Decimal(100))

    def reached(self, value: Decimal, amount: Decimal) -> bool:
        return value >= self.limit(amount)

    def as_wire(self) -> ThresholdWire:
        return ThresholdWire(percent=decimal_text(self.percent), on=self.on, actions=list(self.actions))


DEFAULT: Final = (
    Threshold(Decimal(50), ACTUAL, (ALERT,)),
    Threshold(Decimal(80), ACTUAL, (ALERT,)),
    Threshold(Decimal(100), ACTUAL, (ALERT,)),
    Threshold(Decimal(100), FORECAST, (ALERT,)),
)


def thresholds_parse(raw: Sequence[Mapping[str, Any]]) -> tuple[Threshold, ...]:
    """From the wire: `percent` a decimal string or whole number above 0, with at most two places. Raises
    ValidationFailed naming every wrong member of `thresholds`."""
    problems: list[FieldProblem] = []
    if not 1 <= len(raw) <= MOST:
        problems.append({"pointer": "/thresholds", "detail": f"must be 1 to {MOST} thresholds"})
    found: list[Threshold] = []
    for index, each in enumerate(raw):
        here = f"/thresholds/{index}"
        percent = _percent(each.get("percent"))
        on = each.get("on", ACTUAL)
        actions = each.get("actions", [ALERT])
        if percent is None:
            detail = "must be a decimal above 0 with at most two places, such as 80"
            problems.append({"pointer": f"{here}/percent", "detail": detail})
        if on not in MEASURES:
            problems.append({"pointer": f"{here}/on", "detail": f"must be one of {', '.join(MEASURES)}"})
        if not _actions_fit(actions):
            detail = f"must be one or more of {', '.join(ACTIONS)}"
            problems.append({"pointer": f"{here}/actions", "detail": detail})
        if percent is not None and not problems:
            threshold = Threshold(percent, on, tuple(action for action in ACTIONS if action in actions))
            if threshold.key in {other.key for other in found}:
                problems.append({"pointer": here, "detail": "is there twice: the same percent on the same"})
            found.append(threshold)
    if problems:
        raise ValidationFailed("Some thresholds are not valid.", errors=problems)
    return tuple(sorted(found, key=lambda each: (each.percent, each.on)))


def thresholds_read(stored: Iterable[Mapping[str, Any]]) -> tuple[Threshold, ...]:
    """What was stored by `as_wire`."""
    return tuple(Threshold(Decimal(each["percent"]), each["on"], tuple(each["actions"])) for each in stored)


def _percent(raw: Any) -> Decimal | None:
    if isinstance(raw, bool) or not isinstance(raw, str | int) or not _PERCENT.fullmatch(str(raw)):
        return None
    return Decimal(str(raw)).normalize() if Decimal(str(raw)) > 0 else None


def _actions_fit(actions: Any) -> bool:
    return (
        isinstance(actions, list)
        and bool(actions)
        and all(isinstance(action, str) and action in ACTIONS for action in actions)
    )
