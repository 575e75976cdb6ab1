"""Measures one meter over windows, for one tenant or many: the SQL behind the selectors. Reads only.

Totals are exact for any boundaries. With `known_at` they are what they would have been had one asked then: events
received, corrections and spans recorded later are not in them.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db import connection

from billing.exact import WIDE, quantity
from billing.metering.catalogue import USER, Meter
from billing.metering.facts import (
    HOUR_S,
    QUARTER_S,
    Rows,
    dimensions_json,
    facts_of,
    rows_of,
    series_by_user,
)
from billing.metering.lasting import gauges_latest, gauges_weighted, spans_measured
from billing.metering.raw import raw_events, touched_times
from billing.metering.segments import Plan, bucket_of, plan_of
from billing.metering.windows import Window

#: {(window index, dimensions as canonical JSON): value}
Measured = dict[tuple[int, str], Decimal]
#: The same for several tenants, the tenant first.
MeasuredByTenant = dict[tuple[UUID, int, str], Decimal]
#: (tenant, window index, dimensions, member)
_Member = tuple[UUID, int, str, str]

ALL: Final = None


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
    measured = measure_tenants(
        tenant_ids=[tenant_id],
        meter=meter,
        windows=windows,
        as_of=as_of,
        known_at=known_at,
        group_by=group_by,
    )
    return {(index, dimensions): value for (_, index, dimensions), value in measured.items()}


def measure_tenants(
    *,
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None = None,
    group_by: tuple[str, ...] | None = ALL,
) -> MeasuredByTenant:
    """`windows` follow each other without a gap; those without usage are absent from the answer.

    Spans and gauges, which last, are counted up to `as_of`; events wherever their time lies in a window.
    `group_by` names the dimensions to tell apart: all of the meter's if None, nothing if empty. What does not add
    up (a maximum, a number of users) is never told apart by more than is asked for: None means nothing then.
    """
    names = group_by if group_by is not None else (meter.dimensions if meter.additive else ())
    if meter.aggregation == "span":
        found: Iterable[tuple[UUID, int, str, Decimal]] = spans_measured(
            tenant_ids, meter, windows, as_of, known_at
        )
    elif meter.aggregation == "time_weighted":
        found = gauges_weighted(tenant_ids, meter, windows, as_of, known_at)
    elif meter.aggregation == "latest":
        found = gauges_latest(tenant_ids, meter, windows, known_at)
    elif meter.aggregation == "unique":
        return _unique(tenant_ids, meter, windows, known_at, names)
    else:
        return _rolled_up(tenant_ids, meter, windows, known_at, names)
    sums: MeasuredByTenant = defaultdict(Decimal)
    for tenant_id, index, dimensions, value in found:
        key = (tenant_id, index, projected(dimensions, names))
        sums[key] = WIDE.add(sums[key], value)
    if meter.aggregation == "latest":
        return dict(sums)
    return {key: quantity(value) for key, value in sums.items() if value}


@lru_cache(maxsize=20_000)
def projected(dimensions: str, names: tuple[str, ...]) -> str:
    """Only these of the dimensions, as canonical JSON; one that is not there is empty."""
    known = json.loads(dimensions)
    return dimensions_json(names, tuple(known.get(name, "") for name in names))


def _rolled_up(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    known_at: datetime | None,
    names: tuple[str, ...],
) -> MeasuredByTenant:
    """Sums, counts and maxima: from rollups where these know whole buckets, else from raw events."""
    detailed = USER in names and meter.by_user
    series = series_by_user(meter) if detailed else meter.key
    plan = _plan(tenant_ids, meter, windows, known_at, HOUR_S if detailed else QUARTER_S)
    highest = meter.aggregation == "max"
    totals: MeasuredByTenant = {}

    def count(key: tuple[UUID, int, str], value: Decimal) -> None:
        held = totals.get(key)
        if held is None:
            totals[key] = value
        else:
            totals[key] = max(held, value) if highest else WIDE.add(held, value)

    # All of a row's dimensions need no picking.
    shown = None if set(names) == set(meter.groupable if detailed else meter.dimensions) else names
    for tenant_id, index, dimensions, value in _rollups(tenant_ids, series, windows, plan, shown, highest):
        count((tenant_id, index, projected(dimensions, names)), value)
    for tenant_id, index, rows in _raw_rows(tenant_ids, meter, plan, known_at):
        for (key, _, dimensions), number in {**rows.sums, **rows.highest}.items():
            if key == series:
                count((tenant_id, index, projected(dimensions, names)), Decimal(number))
    return totals


def _rollups(
    tenant_ids: Sequence[UUID],
    series: str,
    windows: Sequence[Window],
    plan: Plan,
    names: tuple[str, ...] | None,
    highest: bool,
) -> list[tuple[UUID, int, str, Decimal]]:
    starts = [window.start for window in windows]
    pairs = ", ".join(["%s::text, dimensions->%s::text"] * len(names or ()))
    shown = "dimensions" if names is None else f"jsonb_build_object({pairs})"
    arguments = [text for name in names or () for text in (name, name)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT tenant_id, width_bucket(bucket, %s::timestamptz[]) - 1,
                   {shown}::text, {"max" if highest else "sum"}(value)
            FROM billing_usagerollup
            WHERE tenant_id = ANY(%s) AND meter = %s AND bucket >= %s AND bucket < %s
              AND bucket <> ALL(%s::timestamptz[]) AND value <> 0
            GROUP BY 1, 2, 3
            """,  # noqa: S608 - only placeholders and names of functions are put in
            [
                starts,
                *arguments,
                list(tenant_ids),
                series,
                starts[0],
                windows[-1].end,
                plan.excluded,
            ],
        )
        return list(cursor.fetchall())


def _unique(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    known_at: datetime | None,
    names: tuple[str, ...],
) -> MeasuredByTenant:
    """Exact: each value is counted once a window, however often and in however many buckets it is there."""
    plan = _plan(tenant_ids, meter, windows, known_at, HOUR_S)
    starts = [window.start for window in windows]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT tenant_id, width_bucket(bucket, %s::timestamptz[]) - 1, dimensions, member
            FROM billing_usagemember
            WHERE tenant_id = ANY(%s) AND meter = %s AND bucket >= %s AND bucket < %s
              AND bucket <> ALL(%s::timestamptz[])
            """,
            [starts, list(tenant_ids), meter.key, starts[0], windows[-1].end, plan.excluded],
        )
        members: set[_Member] = {
            (tenant_id, index, projected(dimensions, names), member)
            for tenant_id, index, dimensions, member in cursor.fetchall()
        }
    for tenant_id, index, rows in _raw_rows(tenant_ids, meter, plan, known_at):
        for key, _, dimensions, member in rows.members:
            if key == meter.key:
                members.add((tenant_id, index, projected(dimensions, names), member))
    counts: MeasuredByTenant = defaultdict(Decimal)
    for tenant_id, index, dimensions, _ in members:
        counts[tenant_id, index, dimensions] += 1
    return dict(counts)


def _plan(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    known_at: datetime | None,
    grain_s: int,
) -> Plan:
    touched: set[datetime] = set()
    if known_at is not None:
        margin = timedelta(seconds=grain_s)
        times = touched_times(
            tenant_ids=tenant_ids,
            event_type=str(meter.event_type),
            start=windows[0].start - margin,
            end=windows[-1].end + margin,
            known_at=known_at,
        )
        touched = {bucket_of(time, grain_s) for time in times}
    return plan_of(windows, grain_s, touched)


def _raw_rows(
    tenant_ids: Sequence[UUID], meter: Meter, plan: Plan, known_at: datetime | None
) -> list[tuple[UUID, int, Rows]]:
    """What the raw events of each tenant and window add up to."""
    events = defaultdict(list)
    found = raw_events(
        tenant_ids=tenant_ids, event_type=str(meter.event_type), parts=plan.parts, known_at=known_at
    )
    for raw in found:
        events[raw.tenant_id, raw.index].append(raw.event)
    return [(tenant_id, index, rows_of(facts_of(own))) for (tenant_id, index), own in events.items()]
