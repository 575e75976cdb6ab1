"""One stretch's charges, before discounts: base fee, fees, and usage by the card's prices. Pure."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from billing.exact import WIDE, decimal_text, exact_product
from billing.metering.catalogue import METERS
from billing.metering.totals import MeterTotal
from billing.period import Period
from billing.rating.cards import Fee, Price
from billing.rating.lines import BASE_FEE, LineKind, RatedLine
from billing.rating.proration import prorated, share_of
from billing.rating.stretches import Stretch
from billing.rating.tiers import charge
from controlplane.core.clock import moment_text

#: Stands in the place of a meter on the lines of further fees.
FEE: Final = "fee"


def charged(stretch: Stretch, period: Period, *, begun: bool) -> list[RatedLine]:
    """The base fee first, then fees, then the prices that saw usage, in the card's order. A period that has not
    begun owes no fees yet. Amounts are zero until they are dealt out."""
    start = stretch.start if begun else stretch.end
    share = share_of(period, start, stretch.end)
    lines = [_flat(stretch, period, BASE_FEE, BASE_FEE, "Base fee", share, stretch.card.base_fee)]
    lines += [_fee(stretch, period, fee, share) for fee in stretch.card.fees if not fee.one_off]
    if stretch.opens and begun:
        lines += [_one_off(stretch, fee) for fee in stretch.card.fees if fee.one_off]
    used = _by_price(stretch.card.prices, stretch.usage)
    return lines + [
        _usage(stretch, period, price, used[price.key]) for price in stretch.card.prices if price.key in used
    ]


def line_of(
    stretch: Stretch,
    *,
    key: str,
    meter: str,
    description: str,
    unit: str,
    quantity: Decimal,
    unit_price: Decimal,
    kind: LineKind,
) -> RatedLine:
    """A line over the whole stretch whose exact amount is `quantity` x `unit_price`."""
    return RatedLine(
        key=key,
        meter=meter,
        description=description,
        unit=unit,
        used=quantity,
        included=Decimal(0),
        quantity=quantity,
        unit_price=unit_price,
        exact=exact_product(quantity, unit_price),
        amount=Decimal(0),
        start=stretch.start,
        end=stretch.end,
        card_key=stretch.card.key,
        card_version=stretch.card.version,
        kind=kind,
    )


def _flat(
    stretch: Stretch, period: Period, key: str, meter: str, name: str, share: Decimal, monthly: Decimal
) -> RatedLine:
    return line_of(
        stretch,
        key=key,
        meter=meter,
        description=name + (_within(stretch, period) if share else ""),
        unit="month",
        quantity=share,
        unit_price=monthly,
        kind="base_fee",
    )


def _fee(stretch: Stretch, period: Period, fee: Fee, share: Decimal) -> RatedLine:
    return _flat(stretch, period, f"{FEE} {fee.key}", FEE, fee.description, share, fee.amount)


def _one_off(stretch: Stretch, fee: Fee) -> RatedLine:
    return line_of(
        stretch,
        key=f"{FEE} {fee.key}",
        meter=FEE,
        description=fee.description,
        unit="fee",
        quantity=Decimal(1),
        unit_price=fee.amount,
        kind="one_off",
    )


def _by_price(prices: Sequence[Price], usage: Iterable[MeterTotal]) -> dict[str, Decimal]:
    used: dict[str, Decimal] = {}
    for total in usage:
        dimensions = dict(total.dimensions).items()
        for price in prices:
            if price.meter == total.meter and price.match.items() <= dimensions:
                used[price.key] = WIDE.add(used.get(price.key, Decimal(0)), total.value)
                break
    return used


def _usage(stretch: Stretch, period: Period, price: Price, used: Decimal) -> RatedLine:
    def prorate(whole: Decimal) -> Decimal:
        return prorated(whole, period, stretch.start, stretch.end)

    meter = METERS[price.meter]
    narrowed = ", ".join(f"{name} {value}" for name, value in sorted(price.match.items()))
    included = prorate(price.included)
    cost = charge(price, max(WIDE.subtract(used, included), Decimal(0)), prorate)
    return RatedLine(
        key=price.key,
        meter=price.meter,
        description=f"{meter.description} ({narrowed})" if narrowed else meter.description,
        unit=meter.unit if cost.package is None else f"package of {decimal_text(cost.package)} {meter.unit}s",
        used=used,
        included=included,
        quantity=cost.quantity,
        unit_price=cost.unit_price,
        exact=cost.exact,
        amount=Decimal(0),
        start=stretch.start,
        end=stretch.end,
        card_key=stretch.card.key,
        card_version=stretch.card.version,
        kind="usage",
        parts=cost.parts,
    )


def _within(stretch: Stretch, period: Period) -> str:
    """`, from ... UTC` and `, until ... UTC` where the stretch is not the whole period."""
    text = f", from {_moment(stretch.start)}" if _apart(period.start, stretch.start) else ""
    return text + (f", until {_moment(stretch.end)}" if _apart(stretch.end, period.end) else "")


def _apart(earlier: datetime, later: datetime) -> bool:
    return later.astimezone(UTC) - earlier.astimezone(UTC) >= timedelta(seconds=1)


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def key_in(stretch: Stretch, key: str, *, first: bool) -> str:
    """A line's key within the whole period: plain in the first stretch, with its start in later ones."""
    return key if first else f"{key} from {moment_text(stretch.start)}"
