"""Measures meters over windows, for one tenant or many: the door to the SQL behind the selectors. Reads only.

Totals are exact for any boundaries. With `known_at` they are what they would have been had one asked then: events
received, corrections and spans recorded later are not in them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from uuid import UUID

from billing.metering.catalogue import Meter
from billing.metering.lasting import Count, latest_part, spans_part, weighted_part
from billing.metering.rolled import RawCount, planned, stored_parts
from billing.metering.statement import Part, parts_run
from billing.metering.tally import ALL, Ask, Measured, MeasuredByTenant, Tally
from billing.metering.windows import Window

_LASTING = ("span", "time_weighted", "latest")


def measure(
    *,
    tenant_id: UUID,
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None = None,
    group_by: tuple[str, ...] | None = ALL,
) -> Measured:
    """What measure_tenants gives for one tenant."""
    asks = [Ask(meter, windows, group_by)]
    return measure_asks(tenant_id=tenant_id, asks=asks, as_of=as_of, known_at=known_at)[0]


def measure_asks(
    *, tenant_id: UUID, asks: Sequence[Ask], as_of: datetime, known_at: datetime | None = None
) -> list[Measured]:
    """What measure_all gives for one tenant."""
    found = measure_all(tenant_ids=[tenant_id], asks=asks, as_of=as_of, known_at=known_at)
    return [{(index, dimensions): value for (_, index, dimensions), value in each.items()} for each in found]


def measure_groups(
    *, tenant_id: UUID, groups: Mapping[str, Sequence[Ask]], as_of: datetime
) -> dict[str, list[Measured]]:
    """The same for asks of several who want their answers together."""
    found = iter(measure_asks(tenant_id=tenant_id, asks=[*chain(*groups.values())], as_of=as_of))
    return {name: list(islice(found, len(asks))) for name, asks in groups.items()}


def measure_tenants(
    *,
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None = None,
    group_by: tuple[str, ...] | None = ALL,
) -> MeasuredByTenant:
    """What measure_all gives for one ask."""
    asks = [Ask(meter, windows, group_by)]
    return measure_all(tenant_ids=tenant_ids, asks=asks, as_of=as_of, known_at=known_at)[0]


def measure_all(
    *, tenant_ids: Sequence[UUID], asks: Sequence[Ask], as_of: datetime, known_at: datetime | None = None
) -> list[MeasuredByTenant]:
    """An answer to each ask, in their order and of one moment; windows without usage are absent from it.

    One statement; `known_at` costs two more for each type of event, for what was learned since. Spans and gauges,
    which last, are counted up to `as_of`; events wherever their time lies in a window.
    """
    tallies = [Tally.of(ask) for ask in asks]
    events = [tally for tally in tallies if tally.meter.aggregation not in _LASTING]
    asked = planned(tenant_ids, events, known_at)
    lasting = _lasting_parts(tenant_ids, tallies, as_of, known_at)
    raw = RawCount(tenant_ids, asked, known_at)
    parts_run([*stored_parts(tenant_ids, asked), *lasting, *raw.parts])
    raw.count()
    return [tally.answer() for tally in tallies]


def _lasting_parts(
    tenant_ids: Sequence[UUID], tallies: Sequence[Tally], as_of: datetime, known_at: datetime | None
) -> list[Part]:
    parts: list[Part | None] = []
    spans: dict[tuple[Window, ...], dict[str, list[Count]]] = defaultdict(lambda: defaultdict(list))
    for tally in tallies:
        if tally.meter.aggregation == "span":
            spans[tally.windows][tally.meter.key].append(tally.count)
        elif tally.meter.aggregation == "time_weighted":
            parts.append(weighted_part(tenant_ids, tally.meter, tally.count, tally.windows, as_of, known_at))
        elif tally.meter.aggregation == "latest":
            parts.append(latest_part(tenant_ids, tally.meter, tally.count, tally.windows, known_at))
    found = [spans_part(tenant_ids, counts, windows, as_of, known_at) for windows, counts in spans.items()]
    return [*found, *(part for part in parts if part is not None)]
