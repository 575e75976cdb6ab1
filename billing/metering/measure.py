"""Measures one meter over windows: the SQL behind the selectors. Reads only.

Each function returns {(window index, dimensions as canonical JSON): value}; windows without usage are absent.
`dimensions` carries all of them; grouping by one is the selectors' business.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import WIDE, quantity
from billing.metering.catalogue import Meter
from billing.metering.windows import Window, utc_months

Measured = dict[tuple[int, str], Decimal]

_GIGABYTE = 10**9


def measure(*, tenant_id: UUID, meter: Meter, windows: Sequence[Window], as_of: datetime) -> Measured:
    """Spans and gauges, which last, are counted up to `as_of`; events wherever their time lies in a
    window."""
    if meter.aggregation == "span":
        return _spans(tenant_id, meter, windows, as_of)
    if meter.aggregation == "time_weighted":
        return _gauges(tenant_id, meter, windows, as_of)
    return _rollups(tenant_id, meter, windows)


def _rollups(tenant_id: UUID, meter: Meter, windows: Sequence[Window]) -> Measured:
    starts = [window.start for window in windows]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT width_bucket(bucket, %s::timestamptz[]) - 1, dimensions::text, sum(value)
            FROM billing_usagerollup
            WHERE tenant_id = %s AND meter = %s AND bucket >= %s AND bucket < %s
            GROUP BY 1, 2
            """,
            [starts, tenant_id, meter.key, starts[0], windows[-1].end],
        )
        return {(index, dimensions): value for index, dimensions, value in cursor.fetchall()}


def _spans(tenant_id: UUID, meter: Meter, windows: Sequence[Window], as_of: datetime) -> Measured:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT w.number - 1, (s.dimensions || jsonb_build_object('resource', s.resource))::text,
                   sum(extract(epoch FROM upper(s.span * w.range) - lower(s.span * w.range)))
            FROM (
                SELECT number, tstzrange(start, least(finish, %s)) AS range
                FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS w (start, finish, number)
                WHERE start < %s
            ) AS w
            JOIN billing_spanslot n ON n.tenant_id = %s AND n.meter = %s
            JOIN billing_resourcespan s ON s.span_slot_id = n.id AND s.span && w.range
            GROUP BY 1, 2
            """,
            [as_of, *_edges(windows), as_of, tenant_id, meter.key],
        )
        return {
            (index, dimensions): quantity(seconds, 3600) for index, dimensions, seconds in cursor.fetchall()
        }


def _gauges(tenant_id: UUID, meter: Meter, windows: Sequence[Window], as_of: datetime) -> Measured:
    """Byte-seconds over the seconds of the UTC month they fall in; windows are cut at months for that."""
    parts = [
        (index, part, month)
        for index, window in enumerate(windows)
        for part, month in utc_months(window.start, min(window.end, as_of))
    ]
    measured: Measured = defaultdict(Decimal)
    for number, dimensions, byte_seconds in _byte_seconds(tenant_id, meter, [part for _, part, _ in parts]):
        index, _, month = parts[number]
        share = WIDE.divide(byte_seconds, Decimal(_GIGABYTE * (month // timedelta(seconds=1))))
        measured[index, dimensions] = WIDE.add(measured[index, dimensions], share)
    return {key: quantity(value) for key, value in measured.items()}


def _byte_seconds(tenant_id: UUID, meter: Meter, parts: Sequence[Window]) -> list[tuple[int, str, Decimal]]:
    """A sample holds until the next one of its component; of several at one moment the last id's stands."""
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH held AS (
                SELECT component, value, time AS start,
                       lead(time, 1, 'infinity') OVER (
                           PARTITION BY component ORDER BY time, source COLLATE "C", event_id COLLATE "C"
                       ) AS finish
                FROM billing_gaugesample
                WHERE tenant_id = %s AND meter = %s AND time < %s
            )
            SELECT w.number - 1, jsonb_build_object(%s::text, h.component)::text,
                   sum(h.value * extract(epoch FROM least(h.finish, w.finish) - greatest(h.start, w.start)))
            FROM unnest(%s::timestamptz[], %s::timestamptz[]) WITH ORDINALITY AS w (start, finish, number)
            JOIN held h ON h.start < w.finish AND h.finish > w.start AND h.value > 0
            GROUP BY 1, 2
            """,
            [tenant_id, meter.key, parts[-1].end, meter.dimensions[0], *_edges(parts)],
        )
        return [(int(number), dimensions, seconds) for number, dimensions, seconds in cursor.fetchall()]


def _edges(windows: Sequence[Window]) -> tuple[list[datetime], list[datetime]]:
    return [window.start for window in windows], [window.end for window in windows]
