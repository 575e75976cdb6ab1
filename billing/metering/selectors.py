"""What a tenant used. Reads only."""

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from billing.exact import WIDE, decimal_text
from billing.metering.catalogue import METERS, dimension_check, meter_get
from billing.metering.measure import measure
from billing.metering.totals import MeterTotal
from billing.metering.windows import Window, windows_of, zone_parse
from controlplane.core.clock import moment_text

# "from" is a keyword of Python, so this one cannot be a class.
UsageResult = TypedDict("UsageResult", {"from": str, "to": str, "group": str | None, "value": str})


class UsageAnswer(TypedDict):
    meter: str
    unit: str
    window: str
    results: list[UsageResult]


class MeterInfo(TypedDict):
    key: str
    description: str
    unit: str
    aggregation: str
    event_type: str | None
    dimensions: list[str]


def meters_list() -> list[MeterInfo]:
    """Every meter of the catalogue, in its order."""
    return [
        MeterInfo(
            key=meter.key,
            description=meter.description,
            unit=meter.unit,
            aggregation=meter.aggregation,
            event_type=meter.event_type,
            dimensions=list(meter.dimensions),
        )
        for meter in METERS.values()
    ]


def usage_query(
    *,
    tenant_id: UUID,
    meter: str,
    start: datetime,
    end: datetime,
    window: str = "day",
    group_by: str | None = None,
    timezone: str = "UTC",
    as_of: datetime,
) -> UsageAnswer:
    """Usage per window (of `timezone`) and value of the dimension `group_by`, windows without usage left out.

    `start` and `end` are widened to quarters of an hour; the results say what they cover. Raises
    ValidationFailed naming `meter`, `group_by`, `window`, `timezone`, `from` or `to`.
    """
    known = meter_get(meter)
    dimension_check(known, group_by)
    windows = windows_of(start=start, end=end, size=window, zone=zone_parse(timezone))
    measured = measure(tenant_id=tenant_id, meter=known, windows=windows, as_of=as_of)
    sums: dict[tuple[int, str | None], Decimal] = defaultdict(Decimal)
    for (index, dimensions), value in measured.items():
        group = None if group_by is None else str(json.loads(dimensions).get(group_by, ""))
        sums[index, group] = WIDE.add(sums[index, group], value)
    ordered = sorted(sums, key=lambda key: (key[0], key[1] or ""))
    results = [_result(windows[index], group, sums[index, group]) for index, group in ordered]
    return {"meter": known.key, "unit": known.unit, "window": window, "results": results}


def usage_totals(*, tenant_id: UUID, start: datetime, end: datetime, as_of: datetime) -> list[MeterTotal]:
    """Every meter's total for each combination of its dimensions, in the catalogue's order; nothing for no
    usage.

    `start` and `end` must lie on quarters of an hour (a billing period does).
    """
    totals = []
    for meter in METERS.values():
        measured = measure(tenant_id=tenant_id, meter=meter, windows=[Window(start, end)], as_of=as_of)
        for (_, dimensions), value in measured.items():
            pairs = tuple(sorted((name, str(text)) for name, text in json.loads(dimensions).items()))
            totals.append(MeterTotal(meter.key, pairs, value))
    order = {key: index for index, key in enumerate(METERS)}
    return sorted(totals, key=lambda total: (order[total.meter], total.dimensions))


def _result(window: Window, group: str | None, value: Decimal) -> UsageResult:
    return {
        "from": moment_text(window.start),
        "to": moment_text(window.end),
        "group": group,
        "value": decimal_text(value),
    }
