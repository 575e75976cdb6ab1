"""What a tenant used. Reads only."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from billing.exact import WIDE, decimal_text
from billing.metering.catalogue import METERS, dimension_check, meter_get
from billing.metering.measure import measure_asks, measure_tenants
from billing.metering.models import UsageRollup
from billing.metering.tally import Ask, Measured
from billing.metering.totals import MeterTotal, dimension_pairs
from billing.metering.windows import Window, windows_of, zone_parse
from controlplane.core.clock import moment_text

#: What the fleet's usage may be grouped by beside the meter's dimensions.
TENANT = "tenant"
# "from" is a keyword of Python, so this one cannot be a class.
UsageResult = TypedDict("UsageResult", {"from": str, "to": str, "group": str | None, "value": str})


class UsageAnswer(TypedDict):
    meter: str
    unit: str
    window: str
    results: list[UsageResult]


class FilterInfo(TypedDict):
    dimension: str
    values: list[str]


class MeterInfo(TypedDict):
    """`dimensions` are what may be grouped by. `value` is the member of the event's data that is aggregated."""

    key: str
    version: int
    description: str
    unit: str
    aggregation: str
    event_type: str | None
    value: str | None
    dimensions: list[str]
    filters: list[FilterInfo]


def meters_list() -> list[MeterInfo]:
    """Every meter of the catalogue, in its order."""
    return [
        MeterInfo(
            key=meter.key,
            version=meter.version,
            description=meter.description,
            unit=meter.unit,
            aggregation=meter.aggregation,
            event_type=meter.event_type,
            value=meter.value,
            dimensions=list(meter.groupable),
            filters=[
                FilterInfo(dimension=each.dimension, values=list(each.values)) for each in meter.filters
            ],
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
    known_at: datetime | None = None,
) -> UsageAnswer:
    """Usage per window (of `timezone`) and value of the dimension `group_by`, windows without usage left out.

    Exact for any `start` and `end`. Raises ValidationFailed naming `meter`, `group_by`, `window`, `timezone`, `from`
    or `to`.
    """
    return _query(
        {tenant_id: ""}, meter, start, end, window, group_by, timezone, as_of, known_at, by_tenant=False
    )


def fleet_usage_query(
    *,
    tenants: Mapping[UUID, str],
    meter: str,
    start: datetime,
    end: datetime,
    window: str = "day",
    group_by: str | None = None,
    timezone: str = "UTC",
    as_of: datetime,
    known_at: datetime | None = None,
) -> UsageAnswer:
    """The usage of several tenants (id to slug), added up per window and value of `group_by`: one of the meter's
    dimensions, or `tenant`. A maximum is the highest of them; distinct values are counted per tenant and added.

    Raises as usage_query does.
    """
    by_tenant = group_by == TENANT
    dimension = None if by_tenant else group_by
    return _query(
        tenants, meter, start, end, window, dimension, timezone, as_of, known_at, by_tenant=by_tenant
    )


def _query(
    tenants: Mapping[UUID, str],
    meter: str,
    start: datetime,
    end: datetime,
    window: str,
    group_by: str | None,
    timezone: str,
    as_of: datetime,
    known_at: datetime | None,
    *,
    by_tenant: bool,
) -> UsageAnswer:
    known = meter_get(meter)
    dimension_check(known, group_by)
    windows = windows_of(start=start, end=end, size=window, zone=zone_parse(timezone))
    measured = measure_tenants(
        tenant_ids=list(tenants),
        meter=known,
        windows=windows,
        as_of=as_of,
        known_at=known_at,
        group_by=() if group_by is None else (group_by,),
    )
    found: dict[tuple[int, str | None], Decimal] = {}
    for (tenant_id, index, dimensions), value in measured.items():
        group = None if group_by is None else str(json.loads(dimensions)[group_by])
        key = (index, tenants[tenant_id] if by_tenant else group)
        held = found.get(key)
        if held is None:
            found[key] = value
        else:
            found[key] = max(held, value) if known.aggregation == "max" else WIDE.add(held, value)
    ordered = sorted(found, key=lambda key: (key[0], key[1] or ""))
    results = [_result(windows[index], group, found[index, group]) for index, group in ordered]
    return {"meter": known.key, "unit": known.unit, "window": window, "results": results}


def usage_totals(
    *,
    tenant_id: UUID,
    start: datetime,
    end: datetime,
    as_of: datetime,
    known_at: datetime | None = None,
    by_user: bool = False,
) -> list[MeterTotal]:
    """Every meter's total for each combination of its dimensions, in the catalogue's order; nothing for no usage.

    Exact for any `start` and `end`. A meter whose dimensions do not add up (a maximum, a number of users) has one
    total without dimensions. With `known_at`, as known then. `by_user` gives only the meters that know the user, and
    tells users apart.
    """
    asks = totals_asks(start=start, end=end, by_user=by_user)
    found = measure_asks(tenant_id=tenant_id, asks=asks, as_of=as_of, known_at=known_at)
    return totals_told(asks, found)


def totals_asks(*, start: datetime, end: datetime, by_user: bool = False) -> list[Ask]:
    """What usage_totals measures: for those who measure more along with it."""
    windows = (Window(start, end),)
    return [
        Ask(meter, windows, meter.groupable if by_user else None)
        for meter in METERS.values()
        if meter.by_user or not by_user
    ]


def totals_told(asks: Sequence[Ask], found: Sequence[Measured]) -> list[MeterTotal]:
    """What usage_totals gives, from the answers to the asks."""
    totals = [
        MeterTotal(ask.meter.key, dimension_pairs(dimensions), value)
        for ask, measured in zip(asks, found, strict=True)
        for (_, dimensions), value in measured.items()
    ]
    order = {key: index for index, key in enumerate(METERS)}
    return sorted(totals, key=lambda total: (order[total.meter], total.dimensions))


def tenant_ran(*, tenant_id: UUID) -> bool:
    """Whether any run of it has ever been counted."""
    return UsageRollup.objects.filter(tenant_id=tenant_id, meter="agent_runs").exists()


def _result(window: Window, group: str | None, value: Decimal) -> UsageResult:
    return {
        "from": moment_text(window.start),
        "to": moment_text(window.end),
        "group": group,
        "value": decimal_text(value),
    }
