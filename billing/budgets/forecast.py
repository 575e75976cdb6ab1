"""What a period has cost so far, how fast it costs more, and what it will have cost at its end. Pure.

The rule of the forecast, over the charges of one customer:

1. Fees and commitments count in full, as on the bill.
2. What lasts (spans such as GPU hours, gauges such as storage) goes on to the end of the period as it is now: those
   lines are the bill's own, measured as of the period's end.
3. What happens (tokens, tool calls, runs) goes on at the average pace of the period so far: its charges so far, times
   the whole time over the time gone by. Less than a day gone by counts as a day, so that the first hour of a month
   does not promise a thirtieth of a day times 720. Numbers that do not add up over time, such as a maximum, stay.
4. A minimum that the period has not used up yet is used up by what rule 3 adds, before it adds to the bill. Above a
   maximum that is reached, rule 3 adds nothing.
5. A forecast is never below what is spent, and is rounded half up to the currency's smallest unit.

The run rate is what rule 2 adds, for each hour that is left: what is being spent although nothing happens.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from billing.currencies import minor_unit
from billing.exact import WIDE, exact_sum, quantity
from billing.metering.catalogue import METERS
from billing.period import Period
from billing.rating.lines import RatedLine, RatedLines

#: Kinds of lines that are owed whatever is used.
COMMITTED: Final = frozenset({"base_fee", "one_off", "minimum", "commitment"})
#: The one of them that use counts against.
TRUE_UP: Final = frozenset({"minimum", "commitment"})
_LASTING: Final = frozenset({"span", "time_weighted"})
_COUNTED: Final = frozenset({"sum", "count"})
_FIRST_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Spend:
    """Amounts of one currency. `committed` is the part of `spent` that is owed whatever is used; `run_rate` is for an
    hour, exact to twelve places."""

    currency: str
    spent: Decimal
    committed: Decimal
    run_rate: Decimal
    forecast: Decimal


def spend_of(
    now: RatedLines, at_end: RatedLines, *, period: Period, as_of: datetime, since: datetime
) -> Spend:
    """`now` are the charges as of `as_of`, `at_end` those as of the period's end with what is known now; `since` is
    when the customer began."""
    begins = max(period.start, since)
    left = max(period.end - as_of, timedelta(0))
    gone = max(min(as_of, period.end) - begins, min(_FIRST_DAY, period.end - begins))
    lasting = max(WIDE.subtract(_lasting(at_end), _lasting(now)), Decimal(0))
    happening = exact_sum(line.exact for line in now.lines if _happens(line))
    more = Decimal(0)
    if left and gone > timedelta(0):
        more = WIDE.multiply(happening, quantity(_seconds(left), _seconds(gone)))
    if any(line.kind == "maximum" for line in at_end.lines):
        more = Decimal(0)
    unused = exact_sum(line.exact for line in at_end.lines if line.kind in TRUE_UP)
    more = max(WIDE.subtract(more, unused), Decimal(0))
    forecast = _rounded(WIDE.add(at_end.total, more), now.currency)
    return Spend(
        currency=now.currency,
        spent=now.total,
        committed=exact_sum(line.amount for line in now.lines if line.kind in COMMITTED),
        run_rate=quantity(WIDE.multiply(lasting, Decimal(3600)), _seconds(left)) if left else Decimal(0),
        forecast=max(forecast, now.total),
    )


def spend_sum(parts: list[Spend], currency: str) -> Spend:
    """Of several customers; all of them must be billed in `currency`."""
    return Spend(
        currency=currency,
        spent=exact_sum(part.spent for part in parts),
        committed=exact_sum(part.committed for part in parts),
        run_rate=exact_sum(part.run_rate for part in parts),
        forecast=exact_sum(part.forecast for part in parts),
    )


def _lasting(rated: RatedLines) -> Decimal:
    return exact_sum(line.exact for line in rated.lines if _lasts(line))


def _lasts(line: RatedLine) -> bool:
    meter = METERS.get(line.meter)
    return line.kind == "usage" and meter is not None and meter.aggregation in _LASTING


def _happens(line: RatedLine) -> bool:
    meter = METERS.get(line.meter)
    return line.kind == "usage" and meter is not None and meter.aggregation in _COUNTED


def _seconds(span: timedelta) -> Decimal:
    return quantity(span // timedelta(microseconds=1), 1_000_000)


def _rounded(amount: Decimal, currency: str) -> Decimal:
    return amount.quantize(minor_unit(currency), rounding=ROUND_HALF_UP, context=WIDE)
