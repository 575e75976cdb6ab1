"""When a look at a tenant changes what is shown, and how long it was up. Pure decisions.

One failed probe is noise: it takes BAD_TO_FLIP in a row to call a healthy tenant worse, and GOOD_TO_RETURN in a row
to call it well again. `unknown` means that nobody could look; it is never counted as failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controlplane.tenants import states

BAD_TO_FLIP = 3
GOOD_TO_RETURN = 2
#: Seconds between looks, as the beat schedule has it; so a flip takes about a minute and a half.
PROBE_INTERVAL_S = 30
_BAD = (states.DEGRADED, states.UNHEALTHY)


@dataclass(frozen=True)
class Health:
    """`shown` is what people see; `seen` is what the last looks said, `streak` times in a row."""

    shown: str
    seen: str
    streak: int


def health_next(current: Health, *, probe: str) -> Health:
    """The health after one more look.

    Good looks show at once where nothing was known. An `unknown` look breaks a row of bad ones, so that it never
    helps to make something worse; three in a row are shown as what they are.
    """
    streak = current.streak + 1 if probe == current.seen else 1
    if probe == current.shown or current.shown == states.PROGRESSING:
        return Health(probe, probe, streak)
    needed = BAD_TO_FLIP if probe != states.HEALTHY else GOOD_TO_RETURN
    if probe == states.HEALTHY and current.shown == states.UNKNOWN:
        needed = 1
    # Degraded and unhealthy in turns are bad looks all the same: they count together.
    if probe in _BAD and current.seen in _BAD and current.seen != current.shown:
        streak = current.streak + 1
    return Health(probe if streak >= needed else current.shown, probe, streak)


@dataclass(frozen=True)
class Change:
    at: datetime
    health: str


def uptime(changes: Sequence[Change], *, start: datetime, end: datetime) -> float | None:
    """The share of the known time in [start, end) in which the tenant served (healthy or degraded), 0 to 1.

    `changes` are in order of time and say what health began when. None when nothing is known.
    """
    up = known = timedelta()
    ends = [change.at for change in changes[1:]] + [end]
    for change, until in zip(changes, ends, strict=False):
        begin, finish = max(change.at, start), min(until, end)
        if finish <= begin or change.health in (states.UNKNOWN, states.PROGRESSING):
            continue
        known += finish - begin
        if change.health in (states.HEALTHY, states.DEGRADED):
            up += finish - begin
    return up / known if known else None
