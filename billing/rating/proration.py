"""Proration by the second. Pure.

A month's fee, allowance, tier bound, commitment or fixed discount counts in a segment by the share of the
period's elapsed seconds that lie in it. Shares are taken as differences of rounded positions (twelve places)
in the period, never rounded by themselves: so over any cut of the period they add up to the whole exactly.
Seconds elapse in UTC: a local day of 23 or 25 hours has as many seconds as it has.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from billing.exact import QUANTITY_STEP, WIDE, quantity
from billing.period import Period

_SECOND = timedelta(seconds=1)


def share_of(period: Period, start: datetime, end: datetime) -> Decimal:
    """How much of the period [start, end) covers, 0 to 1."""
    return prorated(Decimal(1), period, start, end)


def prorated(whole: Decimal, period: Period, start: datetime, end: datetime) -> Decimal:
    """The part of a month's `whole` that falls to [start, end)."""
    if end <= start:
        return Decimal(0)
    return WIDE.subtract(_until(whole, period, end), _until(whole, period, start))


def _until(whole: Decimal, period: Period, moment: datetime) -> Decimal:
    # Of two moments in one zone Python subtracts what the clocks show; elapsed time needs UTC.
    begin, finish = period.start.astimezone(UTC), period.end.astimezone(UTC)
    elapsed = (min(max(moment.astimezone(UTC), begin), finish) - begin) // _SECOND
    length = (finish - begin) // _SECOND
    if elapsed >= length:
        return whole
    if not elapsed:
        return Decimal(0)
    return quantity(WIDE.multiply(whole, Decimal(elapsed)), length).quantize(QUANTITY_STEP, context=WIDE)
