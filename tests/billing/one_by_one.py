"""Measures one meter of one tenant by a statement of its own, as another path beside billing.metering.measure.

It shares with that only the raw events, and the plan of which buckets they answer.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection

from billing.exact import WIDE, quantity
from billing.metering.catalogue import USER, Meter
from billing.metering.facts import HOUR_S, QUARTER_S, dimensions_json, facts_of, rows_of, series_by_user
from billing.metering.raw import raw_events, touched_times
from billing.metering.segments import bucket_of, plan_of
from billing.metering.windows import Window, utc_months

Measured = dict[tuple[int, str], Decimal]
STANDING = "(received_at IS NULL OR received_at <= %s) AND (voided_at IS NULL OR voided_at > %s)"


def measure_one(
    tenant_id: UUID,
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None = None,
    group_by: tuple[str, ...] | None = None,
) -> Measured:
    names = group_by if group_by is not None else (meter.dimensions if meter.additive else ())
    known = "infinity" if known_at is None else known_at.isoformat()
    if meter.aggregation == "span":
        return _spans(tenant_id, meter, windows, as_of, known, names)
    if meter.aggregation == "time_weighted":
        return _weighted(tenant_id, meter, windows, as_of, known, names)
    if meter.aggregation == "latest":
        return _latest(tenant_id, meter, windows, known, names)
    return _events(tenant_id, meter, windows, known_at, names)


def _rows(sql: str, *arguments: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(sql, arguments)
        return list(cursor.fetchall())


def _picked(dimensions: Any, names: tuple[str, ...]) -> str:
    known = json.loads(dimensions) if isinstance(dimensions, str) else dimensions
    return dimensions_json(names, tuple(known.get(name, "") for name in names))


def _events(
    tenant_id: UUID,
    meter: Meter,
    windows: Sequence[Window],
    known_at: datetime | None,
    names: tuple[str, ...],
) -> Measured:
    """Row by row, added up here and not by the database."""
    detailed = USER in names and meter.by_user
    grain_s = HOUR_S if detailed or meter.aggregation == "unique" else QUARTER_S
    series = series_by_user(meter) if detailed else meter.key
    touched = set()
    if known_at is not None:
        margin = timedelta(seconds=grain_s)
        times = touched_times(
            tenant_ids=[tenant_id],
            event_type=str(meter.event_type),
            start=windows[0].start - margin,
            end=windows[-1].end + margin,
            known_at=known_at,
        )
        touched = {bucket_of(time, grain_s) for time in times}
    plan = plan_of(windows, grain_s, touched)
    found: dict[tuple[int, str], list[Any]] = defaultdict(list)
    unique = meter.aggregation == "unique"
    table, column = ("billing_usagemember", "member") if unique else ("billing_usagerollup", "value")
    for bucket, dimensions, value in _rows(
        f"SELECT bucket, dimensions::text, {column} FROM {table} WHERE tenant_id = %s AND meter = %s",
        tenant_id,
        series,
    ):
        for index, window in enumerate(windows):
            if window.start <= bucket < window.end and bucket not in plan.excluded and value != 0:
                found[index, _picked(dimensions, names)].append(value)
    events = defaultdict(list)
    for raw in raw_events(
        tenant_ids=[tenant_id], event_type=str(meter.event_type), parts=plan.parts, known_at=known_at
    ):
        events[raw.index].append(raw.event)
    for index, own in events.items():
        rows = rows_of(facts_of(own))
        for (key, _, dimensions), number in [*rows.sums.items(), *rows.highest.items()]:
            if key == series and not unique:
                found[index, _picked(dimensions, names)].append(Decimal(number))
        for key, _, dimensions, member in rows.members:
            if key == series and unique:
                found[index, _picked(dimensions, names)].append(member)
    if unique:
        return {key: Decimal(len(set(values))) for key, values in found.items()}
    if meter.aggregation == "max":
        return {key: max(values) for key, values in found.items()}
    return {key: _sum(values) for key, values in found.items()}


def _sum(values: Sequence[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = WIDE.add(total, value)
    return total


def _spans(
    tenant_id: UUID,
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known: str,
    names: tuple[str, ...],
) -> Measured:
    found: dict[tuple[int, str], list[Decimal]] = defaultdict(list)
    for index, window in enumerate(windows):
        end = min(window.end, as_of)
        if window.start >= end:
            continue
        sums: dict[str, list[Decimal]] = defaultdict(list)
        for resource, dimensions, seconds in _rows(
            """
            SELECT resource, dimensions::text, extract(epoch FROM
                least(CASE WHEN closed_recorded_at > %s THEN NULL ELSE upper(span) END, %s)
                - greatest(lower(span), %s))
            FROM billing_resourcespan JOIN billing_spanslot n ON n.id = span_slot_id
            WHERE tenant_id = %s AND meter = %s AND NOT (isempty(span) AND closed_recorded_at <= %s)
              AND (opened_recorded_at IS NULL OR opened_recorded_at <= %s)
            """,
            known, end, window.start, tenant_id, meter.key, known, known,
        ):  # fmt: skip
            if seconds is not None and seconds > 0:
                whole = json.dumps({**json.loads(dimensions), "resource": resource}, sort_keys=True)
                sums[whole].append(seconds)
        for whole, all_of in sums.items():
            found[index, _picked(whole, names)].append(quantity(_sum(all_of), 3600))
    return {key: quantity(_sum(values)) for key, values in found.items() if _sum(values)}


def _samples(tenant_id: UUID, meter: Meter, known: str) -> dict[str, list[tuple[datetime, Decimal]]]:
    samples: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for component, time, value in _rows(
        f"""
        SELECT component, time, value FROM billing_gaugesample WHERE tenant_id = %s AND meter = %s AND {STANDING}
        ORDER BY time, source COLLATE "C", event_id COLLATE "C"
        """,
        tenant_id, meter.series or meter.key, known, known,
    ):  # fmt: skip
        samples[component].append((time, value))
    return samples


def _weighted(
    tenant_id: UUID,
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known: str,
    names: tuple[str, ...],
) -> Measured:
    found: dict[tuple[int, str], list[Decimal]] = defaultdict(list)
    for component, samples in _samples(tenant_id, meter, known).items():
        dimensions = _picked({meter.dimensions[0]: component}, names)
        for index, window in enumerate(windows):
            for part, month in utc_months(window.start, min(window.end, as_of)):
                held = Decimal(0)
                for number, (time, value) in enumerate(samples):
                    finish = samples[number + 1][0] if number + 1 < len(samples) else part.end
                    length = min(finish, part.end) - max(time, part.start)
                    if length > timedelta(0):
                        microseconds = Decimal(length // timedelta(microseconds=1))
                        held = WIDE.add(held, WIDE.multiply(value, microseconds))
                months = Decimal(10**9 * (month // timedelta(microseconds=1)))
                found[index, dimensions].append(WIDE.divide(held, months))
    return {key: quantity(_sum(values)) for key, values in found.items() if _sum(values)}


def _latest(
    tenant_id: UUID, meter: Meter, windows: Sequence[Window], known: str, names: tuple[str, ...]
) -> Measured:
    found: dict[tuple[int, str], list[Decimal]] = defaultdict(list)
    for component, samples in _samples(tenant_id, meter, known).items():
        for index, window in enumerate(windows):
            inside = [value for time, value in samples if window.start <= time < window.end]
            if inside:
                found[index, _picked({meter.dimensions[0]: component}, names)].append(inside[-1])
    return {key: _sum(values) for key, values in found.items()}
