"""What a quantity costs by a price: per unit, graduated, volume or package. Pure, exact, never rounded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Final

from billing.exact import WIDE, exact_product, exact_sum
from billing.rating.lines import TierPart
from billing.rating.prices import Price

Prorate = Callable[[Decimal], Decimal]


@dataclass(frozen=True)
class Charge:
    """`quantity` x `unit_price` is `exact`, unless `parts` add up to it. `package` is the size of one, if any."""

    quantity: Decimal
    unit_price: Decimal
    exact: Decimal
    parts: tuple[TierPart, ...] = ()
    package: Decimal | None = None


def charge(price: Price, quantity: Decimal, prorate: Prorate) -> Charge:
    """`quantity` is what is left after the allowance; `prorate` turns a month's bound or flat into the
    segment's."""
    return _MODELS[price.model](price, quantity, prorate)


def _per_unit(price: Price, quantity: Decimal, prorate: Prorate) -> Charge:
    unit_price = WIDE.divide(price.unit_price, price.per)
    return Charge(quantity, unit_price, exact_product(quantity, unit_price))


def _package(price: Price, quantity: Decimal, prorate: Prorate) -> Charge:
    # A package is bought whole: it is not prorated, and a segment's last one is not carried into the next.
    packages = WIDE.divide(quantity, price.per).to_integral_value(ROUND_CEILING)
    # The quotient itself may have been rounded to 100 digits: settled by what is exact, multiplication.
    if WIDE.multiply(packages, price.per) < quantity:
        packages = WIDE.add(packages, Decimal(1))
    return Charge(packages, price.unit_price, exact_product(packages, price.unit_price), package=price.per)


def _graduated(price: Price, quantity: Decimal, prorate: Prorate) -> Charge:
    parts = []
    for first, last, unit_price, flat in _tiers(price, prorate):
        if quantity <= first:
            break
        reached = quantity if last is None else min(quantity, last)
        parts.append(_part(first, last, WIDE.subtract(reached, first), unit_price, flat))
    return _by_parts(quantity, parts)


def _volume(price: Price, quantity: Decimal, prorate: Prorate) -> Charge:
    for first, last, unit_price, flat in _tiers(price, prorate):
        if quantity and (last is None or quantity <= last):
            return _by_parts(quantity, [_part(first, last, quantity, unit_price, flat)])
    return _by_parts(quantity, [])


def _tiers(price: Price, prorate: Prorate) -> Sequence[tuple[Decimal, Decimal | None, Decimal, Decimal]]:
    """(first, last, price of one unit, flat) of each tier, prorated."""
    found, first = [], Decimal(0)
    for tier in price.tiers:
        last = None if tier.up_to is None else prorate(tier.up_to)
        found.append((first, last, WIDE.divide(tier.unit_price, price.per), prorate(tier.flat)))
        first = first if last is None else last
    return found


def _part(
    first: Decimal, last: Decimal | None, quantity: Decimal, unit_price: Decimal, flat: Decimal
) -> TierPart:
    exact = WIDE.add(exact_product(quantity, unit_price), flat)
    return TierPart(first, last, quantity, unit_price, flat, exact)


def _by_parts(quantity: Decimal, parts: Sequence[TierPart]) -> Charge:
    return Charge(quantity, Decimal(0), exact_sum(part.exact for part in parts), tuple(parts))


_MODELS: Final[dict[str, Callable[[Price, Decimal, Prorate], Charge]]] = {
    "per_unit": _per_unit,
    "package": _package,
    "graduated": _graduated,
    "volume": _volume,
}
