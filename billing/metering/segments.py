"""Which parts of a stretch of time rollups can answer, and which need the raw events. Pure.

Rollups know whole buckets. What a window cuts a bucket into is counted from raw events, and so is a bucket of which
a part was not known yet at the moment that is asked for.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from billing.metering.facts import moment_of, seconds_of
from billing.metering.windows import Window

_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class RawPart:
    """A stretch inside one bucket, of the window with this index."""

    index: int
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Plan:
    """`excluded` are the buckets that rollups must not answer; `parts` are where raw events do instead."""

    excluded: list[datetime]
    parts: list[RawPart]


def plan_of(windows: Sequence[Window], grain_s: int, touched: Collection[datetime] = ()) -> Plan:
    """`windows` follow each other without a gap; `touched` are starts of buckets of `grain_s` seconds."""
    excluded: set[datetime] = set()
    parts: list[RawPart] = []
    for index, window in enumerate(windows):
        first, last = _ceiling(window.start, grain_s), _floor(window.end, grain_s)
        if first > last:
            parts.append(RawPart(index, window.start, window.end))
            excluded.add(last)
            continue
        if window.start < first:
            parts.append(RawPart(index, window.start, first))
            excluded.add(_floor(window.start, grain_s))
        if last < window.end:
            parts.append(RawPart(index, last, window.end))
            excluded.add(last)
        for bucket in touched:
            if first <= bucket < last:
                parts.append(RawPart(index, bucket, bucket + grain_s * _SECOND))
                excluded.add(bucket)
    return Plan(sorted(excluded), parts)


def bucket_of(moment: datetime, grain_s: int) -> datetime:
    """The start of the bucket, in UTC."""
    return _floor(moment, grain_s)


def _floor(moment: datetime, grain_s: int) -> datetime:
    seconds = seconds_of(moment)
    return moment_of(seconds - seconds % grain_s)


def _ceiling(moment: datetime, grain_s: int) -> datetime:
    floor = _floor(moment, grain_s)
    return floor if floor == moment else floor + grain_s * _SECOND
