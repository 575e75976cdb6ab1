"""The billing period: one calendar month in UTC, `start` included and `end` excluded."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from controlplane.core.clock import moment_text
from controlplane.core.errors import ValidationFailed

_MONTH = re.compile(r"(\d{4})-(\d{2})", re.ASCII)


@dataclass(frozen=True)
class Period:
    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None or self.start >= self.end:
            raise ValueError("a period needs two aware moments, the first before the second")

    @property
    def key(self) -> str:
        """`YYYY-MM` of the month it starts in."""
        return f"{self.start:%Y-%m}"

    def as_wire(self) -> dict[str, str]:
        return {"from": moment_text(self.start), "to": moment_text(self.end)}


def month_start(moment: datetime) -> datetime:
    local = moment.astimezone(UTC)
    return datetime(local.year, local.month, 1, tzinfo=UTC)


def next_month(start: datetime) -> datetime:
    return datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)


def period_of(moment: datetime) -> Period:
    """The month a moment lies in."""
    start = month_start(moment)
    return Period(start=start, end=next_month(start))


def period_parse(text: str) -> Period:
    """`"2026-11"` to that month in UTC. Raises ValidationFailed naming `period`."""
    match = _MONTH.fullmatch(text)
    year, month = (int(match[1]), int(match[2])) if match else (0, 0)
    if not (1 <= year <= 9998 and 1 <= month <= 12):
        raise ValidationFailed.of("period", "must be a month as YYYY-MM", hint="For example 2026-11.")
    return period_of(datetime(year, month, 1, tzinfo=UTC))
