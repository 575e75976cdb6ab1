"""What a tenant used in each stretch of a period: one measurement of each priced meter over all of them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from billing.metering.catalogue import METERS
from billing.metering.measure import measure
from billing.metering.totals import MeterTotal
from billing.metering.windows import Window
from billing.rating.cards import RateCard


def usage_in(
    *,
    tenant_id: UUID,
    windows: Sequence[Window],
    cards: Iterable[RateCard],
    as_of: datetime,
    known_at: datetime | None,
) -> list[tuple[MeterTotal, ...]]:
    """For each window (they follow each other without a gap) the totals of the meters that `cards` price, told apart
    by the dimensions that their prices match, in the catalogue's order."""
    names = _matched(cards)
    found: dict[int, list[MeterTotal]] = defaultdict(list)
    for meter in METERS.values():
        if meter.key not in names:
            continue
        measured = measure(
            tenant_id=tenant_id,
            meter=meter,
            windows=windows,
            as_of=as_of,
            known_at=known_at,
            # What no price asks for is added up by the database.
            group_by=tuple(sorted(names[meter.key])),
        )
        for (index, dimensions), value in sorted(measured.items()):
            pairs = tuple(sorted((name, str(text)) for name, text in json.loads(dimensions).items()))
            found[index].append(MeterTotal(meter.key, pairs, value))
    return [tuple(found[index]) for index in range(len(windows))]


def _matched(cards: Iterable[RateCard]) -> dict[str, set[str]]:
    """Each priced meter with the dimensions that any price of it matches."""
    names: dict[str, set[str]] = defaultdict(set)
    for card in cards:
        for price in card.prices:
            names[price.meter].update(price.match)
    return names
