"""What a tenant used in each stretch of a period: one ask for each priced meter over all of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from billing.metering.catalogue import METERS
from billing.metering.tally import Ask, Measured
from billing.metering.totals import MeterTotal, dimension_pairs
from billing.metering.windows import Window
from billing.rating.cards import RateCard


def usage_asks(*, windows: Sequence[Window], cards: Iterable[RateCard]) -> list[Ask]:
    """The meters that `cards` price, told apart by the dimensions that their prices match. What no price asks for is
    added up by the database. `windows` follow each other without a gap."""
    names = _matched(cards)
    return [
        Ask(meter, windows, tuple(sorted(names[meter.key])))
        for meter in METERS.values()
        if meter.key in names
    ]


def usage_told(
    asks: Sequence[Ask], found: Sequence[Measured], windows: Sequence[Window]
) -> list[tuple[MeterTotal, ...]]:
    """For each window the totals, in the catalogue's order."""
    totals: dict[int, list[MeterTotal]] = defaultdict(list)
    for ask, measured in zip(asks, found, strict=True):
        for (index, dimensions), value in sorted(measured.items()):
            totals[index].append(MeterTotal(ask.meter.key, dimension_pairs(dimensions), value))
    return [tuple(totals[index]) for index in range(len(windows))]


def _matched(cards: Iterable[RateCard]) -> dict[str, set[str]]:
    """Each priced meter with the dimensions that any price of it matches."""
    names: dict[str, set[str]] = defaultdict(set)
    for card in cards:
        for price in card.prices:
            names[price.meter].update(price.match)
    return names
