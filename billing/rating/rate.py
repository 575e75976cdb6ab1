"""Rates a period's usage by a card.

Rounding: amounts are exact until the very end. The total is the exact sum rounded to cents, half up, once.
Lines then get their cents by largest remainder (ties: the earlier line), so they add up to the total, each
within a cent of its exact amount, and a line that is a whole number of cents stays as it is.

Base fee: full for a period the tenant lived through from its start, by the second from `since` to the
period's end for the period it was created in, zero before that. A preview (`as_of` within the period) shows
the same base fee as the final invoice will, since the month is owed once begun; only usage grows until then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from billing.exact import CENT, WIDE, exact_product, exact_sum, quantity
from billing.metering.catalogue import METERS
from billing.metering.totals import MeterTotal
from billing.period import Period
from billing.rating.cards import Price, RateCard

#: Stands in the place of a meter on the line of the base fee.
BASE_FEE = "base_fee"


@dataclass(frozen=True)
class RatedLine:
    """`quantity` (what is charged) x `unit_price` is `exact`; `used` also counts the `included` allowance."""

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


@dataclass(frozen=True)
class RatedLines:
    """The base fee comes first, then the card's prices that saw usage, in the card's order."""

    card_key: str
    card_version: int
    currency: str
    lines: tuple[RatedLine, ...]
    total: Decimal

    def amount_of(self, meter: str) -> Decimal:
        return exact_sum(line.amount for line in self.lines if line.meter == meter)


@dataclass(frozen=True)
class _Draft:
    key: str
    meter: str
    description: str
    unit: str
    used: Decimal
    included: Decimal
    quantity: Decimal
    unit_price: Decimal
    exact: Decimal


def rate(
    card: RateCard,
    usage: Iterable[MeterTotal],
    period: Period,
    as_of: datetime,
    since: datetime | None = None,
) -> RatedLines:
    """`usage` are the period's totals as measured at `as_of`; `since` is when the tenant began (None:
    earlier).

    A period that has not begun at `as_of` owes nothing yet: its base fee is zero.
    """
    drafts = [_base_fee(card, period, as_of, since)]
    used = _by_price(card.prices, usage)
    drafts += [_usage_line(price, used[price.key]) for price in card.prices if price.key in used]
    amounts = split_to_cents([draft.exact for draft in drafts])
    lines = tuple(
        RatedLine(**vars(draft), amount=amount) for draft, amount in zip(drafts, amounts, strict=True)
    )
    return RatedLines(card.key, card.version, card.currency, lines, exact_sum(amounts))


def split_to_cents(exact: Sequence[Decimal]) -> list[Decimal]:
    """Whole cents for each amount, adding up to the half-up rounded sum. Amounts must not be negative."""
    total = exact_sum(exact).quantize(CENT, rounding=ROUND_HALF_UP, context=WIDE)
    floors = [amount.quantize(CENT, rounding=ROUND_FLOOR, context=WIDE) for amount in exact]
    spare = int(WIDE.divide(WIDE.subtract(total, exact_sum(floors)), CENT))
    by_remainder = sorted(range(len(exact)), key=lambda index: (floors[index] - exact[index], index))
    for index in by_remainder[:spare]:
        floors[index] = WIDE.add(floors[index], CENT)
    return floors


def _by_price(prices: Sequence[Price], usage: Iterable[MeterTotal]) -> dict[str, Decimal]:
    used: dict[str, Decimal] = {}
    for total in usage:
        dimensions = dict(total.dimensions).items()
        for price in prices:
            if price.meter == total.meter and price.match.items() <= dimensions:
                used[price.key] = WIDE.add(used.get(price.key, Decimal(0)), total.value)
                break
    return used


def _usage_line(price: Price, used: Decimal) -> _Draft:
    charged = max(WIDE.subtract(used, price.included), Decimal(0))
    unit_price = WIDE.divide(price.unit_price, price.per)
    meter = METERS[price.meter]
    narrowed = ", ".join(f"{name} {value}" for name, value in sorted(price.match.items()))
    return _Draft(
        key=price.key,
        meter=price.meter,
        description=f"{meter.description} ({narrowed})" if narrowed else meter.description,
        unit=meter.unit,
        used=used,
        included=price.included,
        quantity=charged,
        unit_price=unit_price,
        exact=exact_product(charged, unit_price),
    )


def _base_fee(card: RateCard, period: Period, as_of: datetime, since: datetime | None) -> _Draft:
    begins = max(period.start, since) if since else period.start
    owed = max(period.end - begins, timedelta(0)) if as_of >= period.start else timedelta(0)
    share = quantity(owed // timedelta(seconds=1), (period.end - period.start) // timedelta(seconds=1))
    description = "Base fee" if share == 1 or not share else f"Base fee, from {begins:%Y-%m-%d %H:%M:%S} UTC"
    return _Draft(
        key=BASE_FEE,
        meter=BASE_FEE,
        description=description,
        unit="month",
        used=share,
        included=Decimal(0),
        quantity=share,
        unit_price=card.base_fee,
        exact=exact_product(share, card.base_fee),
    )
