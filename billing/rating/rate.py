"""Rates a period's usage by a card.

Amounts are exact until the very end, where billing.rating.rounding deals out whole minor units.

Base fee: full for a period the tenant lived through from its start, by the second from `since` to the
period's end for the period it was created in, zero before that. A preview (`as_of` within the period) shows
the same base fee as the final invoice will, since the month is owed once begun; only usage grows until then.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from billing.currencies import minor_unit
from billing.exact import WIDE, exact_product, quantity
from billing.metering.catalogue import METERS
from billing.metering.totals import MeterTotal
from billing.period import Period
from billing.rating.cards import Price, RateCard
from billing.rating.lines import BASE_FEE, RatedLine, RatedLines, Segment, TierPart, total_of
from billing.rating.rounding import split_to_cents

__all__ = ["BASE_FEE", "RatedLine", "RatedLines", "Segment", "TierPart", "rate", "split_to_cents"]


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
    begins = max(period.start, since) if since else period.start
    drafts += [
        _usage_line(card, price, used[price.key], begins, period)
        for price in card.prices
        if price.key in used
    ]
    amounts = split_to_cents([draft.exact for draft in drafts], minor_unit(card.currency))
    lines = tuple(draft.with_amount(amount) for draft, amount in zip(drafts, amounts, strict=True))
    segment = Segment(begins, max(begins, period.end), card.key, card.version)
    return RatedLines(card.key, card.version, card.currency, lines, total_of(lines), (segment,))


def _by_price(prices: Sequence[Price], usage: Iterable[MeterTotal]) -> dict[str, Decimal]:
    used: dict[str, Decimal] = {}
    for total in usage:
        dimensions = dict(total.dimensions).items()
        for price in prices:
            if price.meter == total.meter and price.match.items() <= dimensions:
                used[price.key] = WIDE.add(used.get(price.key, Decimal(0)), total.value)
                break
    return used


def _usage_line(card: RateCard, price: Price, used: Decimal, begins: datetime, period: Period) -> RatedLine:
    charged = max(WIDE.subtract(used, price.included), Decimal(0))
    unit_price = WIDE.divide(price.unit_price, price.per)
    meter = METERS[price.meter]
    narrowed = ", ".join(f"{name} {value}" for name, value in sorted(price.match.items()))
    return RatedLine(
        key=price.key,
        meter=price.meter,
        description=f"{meter.description} ({narrowed})" if narrowed else meter.description,
        unit=meter.unit,
        used=used,
        included=price.included,
        quantity=charged,
        unit_price=unit_price,
        exact=exact_product(charged, unit_price),
        amount=Decimal(0),
        start=begins,
        end=max(begins, period.end),
        card_key=card.key,
        card_version=card.version,
        kind="usage",
    )


def _base_fee(card: RateCard, period: Period, as_of: datetime, since: datetime | None) -> RatedLine:
    begins = max(period.start, since) if since else period.start
    owed = max(period.end - begins, timedelta(0)) if as_of >= period.start else timedelta(0)
    share = quantity(owed // timedelta(seconds=1), (period.end - period.start) // timedelta(seconds=1))
    description = "Base fee" if share == 1 or not share else f"Base fee, from {begins:%Y-%m-%d %H:%M:%S} UTC"
    return RatedLine(
        key=BASE_FEE,
        meter=BASE_FEE,
        description=description,
        unit="month",
        used=share,
        included=Decimal(0),
        quantity=share,
        unit_price=card.base_fee,
        exact=exact_product(share, card.base_fee),
        amount=Decimal(0),
        start=begins,
        end=max(begins, period.end),
        card_key=card.key,
        card_version=card.version,
        kind="base_fee",
    )
