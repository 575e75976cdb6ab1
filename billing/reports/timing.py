"""When scheduled reports are due, and what they are about. Pure.

Monthly: on the first of a month, at 02:00 UTC so that late usage has come in, about the month before. Weekly: on Monday
at 02:00 UTC, about the month that Sunday lies in, as far as it has come: the same figures as the bill, which knows no
weeks.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from billing.period import month_start, next_month, period_of
from billing.reports.models import MONTHLY

HOUR: Final = time(2, tzinfo=UTC)


def due_after(cadence: str, moment: datetime) -> datetime:
    """The first time strictly after `moment`."""
    local = moment.astimezone(UTC)
    if cadence == MONTHLY:
        this = month_start(local) + timedelta(hours=HOUR.hour)
        return this if this > local else next_month(month_start(local)) + timedelta(hours=HOUR.hour)
    monday = datetime.combine(local.date() - timedelta(days=local.weekday()), HOUR)
    return monday if monday > local else monday + timedelta(days=7)


def period_about(due: datetime) -> str:
    """YYYY-MM of the month that the day before lies in."""
    return period_of(due - timedelta(days=1)).key


def due_day(due: datetime) -> date:
    return due.astimezone(UTC).date()
