"""What rating answers with: charged lines that explain themselves. Pure data."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from billing.exact import exact_sum
from billing.rating.cards import RateCard

LineKind = Literal["base_fee", "one_off", "usage", "minimum", "maximum", "discount", "trial"]
#: Kinds of lines that may be negative; every other is zero or more.
REDUCTIONS: Final = ("maximum", "discount", "trial")
#: Stands in the place of a meter on the line of the base fee.
BASE_FEE: Final = "base_fee"


@dataclass(frozen=True)
class TierPart:
    """The part of a line that one tier charged: `quantity` x `unit_price` + `flat` is `exact`.

    The tier holds the units above `first` up to and with `last` (None: without end), counted after the
    allowance.
    """

    first: Decimal
    last: Decimal | None
    quantity: Decimal
    unit_price: Decimal
    flat: Decimal
    exact: Decimal


@dataclass(frozen=True)
class Segment:
    """A stretch of the period, [start, end), with one rate card in force."""

    start: datetime
    end: datetime
    card_key: str
    card_version: int


@dataclass(frozen=True)
class RatedLine:
    """One charge over its service period, [`start`, `end`).

    `used` counts what was measured, `included` what of the allowance the line was given, `quantity` what is
    charged. `quantity` x `unit_price` is `exact` unless there are `parts`: then these add up to `exact`, and
    `unit_price` is zero. `amount` is `exact` dealt out to the currency's minor unit (billing.rating.rounding).
    """

    key: str
    meter: str
    description: str
    unit: str
    used: Decimal
    included: Decimal
    quantity: Decimal
    unit_price: Decimal
    exact: Decimal
    amount: Decimal
    start: datetime
    end: datetime
    card_key: str
    card_version: int
    kind: LineKind
    parts: tuple[TierPart, ...] = ()

    def with_amount(self, amount: Decimal) -> "RatedLine":
        return replace(self, amount=amount)


@dataclass(frozen=True)
class RatedLines:
    """A period's charges in the order of their segments. `card_key` and `card_version` name the card in force
    at the period's end; each line and segment names its own, and `cards` holds them, overrides applied."""

    card_key: str
    card_version: int
    currency: str
    lines: tuple[RatedLine, ...]
    total: Decimal
    segments: tuple[Segment, ...] = ()
    cards: tuple[RateCard, ...] = ()

    def amount_of(self, meter: str) -> Decimal:
        return exact_sum(line.amount for line in self.lines if line.meter == meter)


def total_of(lines: Iterable[RatedLine]) -> Decimal:
    return exact_sum(line.amount for line in lines)
