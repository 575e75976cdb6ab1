"""When a cron is due. Pure: the present moment is an argument."""

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croniter import CroniterBadCronError, CroniterBadDateError, croniter

from tenant_runtime.errors import Invalid

#: minute, hour, day of month, month, day of week; seconds are no step of ours.
_FIELDS: Final = 5


def schedule_check(schedule: str, timezone: str | None) -> None:
    """Invalid when the expression or the zone cannot be read, or never comes."""
    expanded = schedule.strip()
    if not expanded.startswith("@") and len(expanded.split()) != _FIELDS:
        raise Invalid(
            f"`schedule` has {len(expanded.split())} fields; wanted five: minute hour day month weekday",
            code="invalid_schedule",
        )
    _zone(timezone)
    try:
        croniter(expanded, datetime(2026, 1, 1, tzinfo=UTC)).get_next(datetime)
    except (CroniterBadCronError, CroniterBadDateError, ValueError, KeyError) as error:
        raise Invalid(f"`schedule` cannot be read: {str(error)[:200]}", code="invalid_schedule") from error


def _zone(timezone: str | None) -> ZoneInfo:
    try:
        return ZoneInfo(timezone or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Invalid(
            f"`timezone` {(timezone or '')[:60]!r} is not a name of the IANA time zone database",
            code="invalid_timezone",
        ) from error


def next_due(
    schedule: str, timezone: str | None, *, after: datetime, end_time: datetime | None
) -> datetime | None:
    """The first moment later than `after`, in UTC; None once `end_time` lies before it."""
    local = after.astimezone(_zone(timezone))
    due: datetime = croniter(schedule.strip(), local).get_next(datetime)
    due = due.astimezone(UTC)
    return None if end_time is not None and due > end_time else due
