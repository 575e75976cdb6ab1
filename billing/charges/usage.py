"""What a tenant used in each stretch of a period: one measurement of each priced meter over all of them."""

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from billing.metering.catalogue import METERS
from billing.metering.measure import measure
from billing.metering.totals import MeterTotal
from billing.metering.windows import Window


def usage_in(
    *,
    tenant_id: UUID,
    windows: Sequence[Window],
    meters: Collection[str],
    as_of: datetime,
    known_at: datetime | None,
) -> list[tuple[MeterTotal, ...]]:
    """For each window (they follow each other without a gap) the totals of `meters` by their dimensions, in the
    catalogue's order."""
    found: dict[int, list[MeterTotal]] = defaultdict(list)
    for meter in METERS.values():
        if meter.key not in meters:
            continue
        measured = measure(tenant_id=tenant_id, meter=meter, windows=windows, as_of=as_of, known_at=known_at)
        for (index, dimensions), value in sorted(measured.items()):
            pairs = tuple(sorted((name, str(text)) for name, text in json.loads(dimensions).items()))
            found[index].append(MeterTotal(meter.key, pairs, value))
    return [tuple(found[index]) for index in range(len(windows))]
