"""Cuts a stretch of time into hours, days or months of a time zone. Pure.

Windows are half open and leave no gap; where a clock jumps, a day is 23 or 25 hours long, and an hour that
comes twice is two windows.
"""

import itertools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.period import month_start, next_month
from controlplane.core.errors import ValidationFailed

WindowSize = Literal["hour", "day", "month"]
WINDOW_SIZES: Final = ("hour", "day", "month")
#: Every time zone in use is a multiple of it from UTC, so no hour, day or month begins inside one.
GRAIN = timedelta(minutes=15)
MOST_WINDOWS = 10_000


@dataclass(frozen=True)
class Window:
    start: datetime
    end: datetime


def zone_parse(name: str) -> ZoneInfo:
    """An IANA name. Raises ValidationFailed naming `timezone`."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationFailed.of("timezone", "must be an IANA name such as Europe/Berlin or UTC") from None


def windows_of(*, start: datetime, end: datetime, size: str, zone: ZoneInfo) -> list[Window]:
    """The windows that touch [start, end), the outer ones cut to it.

    Raises ValidationFailed naming `window`, `from` or `to`.
    """
    if size not in WINDOW_SIZES:
        raise ValidationFailed.of("window", f"must be one of {', '.join(WINDOW_SIZES)}")
    for field, moment in (("from", start), ("to", end)):
        if moment.tzinfo is None:
            raise ValidationFailed.of(field, "must have an offset from UTC")
    if start >= end:
        raise ValidationFailed.of("to", "must be after from")
    try:
        first, last = start.astimezone(UTC), end.astimezone(UTC)
        if (last - first) / _SHORTEST[size] > MOST_WINDOWS:
            raise ValidationFailed.of(
                "window", f"{size} gives more than {MOST_WINDOWS} results; take a longer one"
            )
        inner = [edge for edge in _EDGES[size](_floor(first), last, zone) if first < edge < last]
    except OverflowError:
        raise ValidationFailed.of("from", "lies outside the calendar") from None
    edges = [first, *sorted(set(inner)), last]
    return [Window(*pair) for pair in itertools.pairwise(edges)]


def utc_months(start: datetime, end: datetime) -> Iterator[tuple[Window, timedelta]]:
    """The parts of [start, end) in each UTC month, with that month's length."""
    while start < end:
        month = month_start(start)
        following = next_month(month)
        yield Window(start, min(end, following)), following - month
        start = following


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SHORTEST: Final[dict[str, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=28),
}


def _floor(moment: datetime) -> datetime:
    return (moment - _EPOCH) // GRAIN * GRAIN + _EPOCH


def _hours(first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    def label(moment: datetime) -> Hashable:
        local = moment.astimezone(zone)
        return (local.date(), local.hour, local.utcoffset())

    moment, previous = first, label(first)
    while moment < last:
        current = label(moment)
        if current != previous:
            yield moment
        moment, previous = moment + GRAIN, current


def _days(first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    day, final = first.astimezone(zone).date(), last.astimezone(zone).date()
    while day < final:
        day += timedelta(days=1)
        yield _midnight(day, zone)


def _months(first: datetime, last: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    day, final = first.astimezone(zone).date().replace(day=1), last.astimezone(zone).date()
    while day <= final:
        day = (day + timedelta(days=31)).replace(day=1)
        yield _midnight(day, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    # Where midnight is skipped this is the moment of the jump, where it comes twice the first of the two.
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


_EDGES: Final[dict[str, Callable[[datetime, datetime, ZoneInfo], Iterator[datetime]]]] = {
    "hour": _hours,
    "day": _days,
    "month": _months,
}
