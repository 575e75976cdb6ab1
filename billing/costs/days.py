"""Days as service periods: costs are kept by the UTC day they were made on. Pure."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from billing.period import Period


def day_period(day: date) -> Period:
    start = datetime.combine(day, time.min, tzinfo=UTC)
    return Period(start, start + timedelta(days=1))


def days_before(now: datetime, count: int) -> Iterator[date]:
    """The last `count` days that are over at `now`, the oldest first."""
    today = now.astimezone(UTC).date()
    return (today - timedelta(days=back) for back in range(count, 0, -1))
