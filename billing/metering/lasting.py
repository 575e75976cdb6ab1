"""Measures what lasts: how long resources existed, and gauges, whose samples hold until the next. Reads only.

Each function gives (tenant, window index, dimensions as JSON, value).
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import WIDE, quantity
from billing.metering.arrays import array_plain
from billing.metering.catalogue import Meter
from billing.metering.windows import Window, utc_months

Found = tuple[UUID, int, str, Decimal]
_GIGABYTE = 10**9
#: Samples that stand: received, and not voided, by the moment asked for.
_STANDING = (
    """(received_at IS NULL OR received_at <= %(known)s) AND (voided_at IS NULL OR voided_at > %(known)s)"""
)


def spans_measured(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None,
) -> list[Found]:
    """Hours. A span whose end was recorded after `known_at` was open then."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.tenant_id, w.number - 1, s.dimensions,
                   sum(extract(epoch FROM upper(s.span * w.range) - lower(s.span * w.range)))
            FROM (
                SELECT number, tstzrange(start, least(finish, %(as_of)s)) AS range
                FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
                    WITH ORDINALITY AS w (start, finish, number)
                WHERE start < %(as_of)s
            ) AS w
            JOIN (
                SELECT n.tenant_id, (r.dimensions || jsonb_build_object('resource', r.resource))::text AS dimensions,
                       CASE WHEN r.closed_recorded_at > %(known)s THEN tstzrange(lower(r.span), NULL)
                            ELSE r.span END AS span
                FROM billing_spanslot n JOIN billing_resourcespan r ON r.span_slot_id = n.id
                WHERE n.tenant_id = ANY(%(tenants)s) AND n.meter = %(meter)s
                  AND (r.opened_recorded_at IS NULL OR r.opened_recorded_at <= %(known)s)
            ) AS s ON s.span && w.range
            GROUP BY 1, 2, 3
            """,
            {
                "as_of": as_of,
                **_edges(windows),
                "tenants": list(tenant_ids),
                "meter": meter.key,
                "known": _known(known_at),
            },
        )
        return [
            (tenant_id, int(number), dimensions, quantity(seconds, 3600))
            for tenant_id, number, dimensions, seconds in cursor.fetchall()
        ]


def gauges_weighted(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None,
) -> Iterator[Found]:
    """Byte-seconds over the seconds of the UTC month they fall in; windows are cut at months for that."""
    parts = [
        (index, part, month)
        for index, window in enumerate(windows)
        for part, month in utc_months(window.start, min(window.end, as_of))
    ]
    found = _byte_seconds(tenant_ids, meter, [part for _, part, _ in parts], known_at)
    for tenant_id, number, dimensions, byte_seconds in found:
        index, _, month = parts[number]
        share = WIDE.divide(byte_seconds, Decimal(_GIGABYTE * (month // timedelta(seconds=1))))
        yield tenant_id, index, dimensions, share


def _byte_seconds(
    tenant_ids: Sequence[UUID], meter: Meter, parts: Sequence[Window], known_at: datetime | None
) -> list[Found]:
    """A sample holds until the next one of its component; of several at one moment the last id's stands."""
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH held AS (
                SELECT tenant_id, component, value, time AS start,
                       lead(time, 1, 'infinity') OVER (
                           PARTITION BY tenant_id, component
                           ORDER BY time, source COLLATE "C", event_id COLLATE "C"
                       ) AS finish
                FROM billing_gaugesample
                WHERE tenant_id = ANY(%(tenants)s) AND meter = %(meter)s AND time < %(end)s AND {_STANDING}
            )
            SELECT h.tenant_id, w.number - 1, jsonb_build_object(%(dimension)s::text, h.component)::text,
                   sum(h.value * extract(epoch FROM least(h.finish, w.finish) - greatest(h.start, w.start)))
            FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
                WITH ORDINALITY AS w (start, finish, number)
            JOIN held h ON h.start < w.finish AND h.finish > w.start AND h.value > 0
            GROUP BY 1, 2, 3
            """,  # noqa: S608 - a constant is put in
            {
                "tenants": list(tenant_ids),
                "meter": meter.key,
                "end": parts[-1].end,
                "dimension": meter.dimensions[0],
                "known": _known(known_at),
                **_edges(parts),
            },
        )
        return [
            (tenant_id, int(number), dimensions, seconds)
            for tenant_id, number, dimensions, seconds in cursor.fetchall()
        ]


def gauges_latest(
    tenant_ids: Sequence[UUID], meter: Meter, windows: Sequence[Window], known_at: datetime | None
) -> list[Found]:
    """The last sample of each component inside each window, by time, source and id."""
    starts = [window.start for window in windows]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT DISTINCT ON (tenant_id, number, component)
                   tenant_id, width_bucket(time, %(starts)s::timestamptz[]) - 1 AS number,
                   jsonb_build_object(%(dimension)s::text, component)::text, value
            FROM billing_gaugesample
            WHERE tenant_id = ANY(%(tenants)s) AND meter = %(meter)s AND time >= %(start)s AND time < %(end)s
              AND {_STANDING}
            ORDER BY tenant_id, number, component, time DESC, source COLLATE "C" DESC, event_id COLLATE "C" DESC
            """,  # noqa: S608 - a constant is put in
            {
                "starts": starts,
                "start": starts[0],
                "end": windows[-1].end,
                "tenants": list(tenant_ids),
                "meter": meter.series or meter.key,
                "dimension": meter.dimensions[0],
                "known": _known(known_at),
            },
        )
        return list(cursor.fetchall())


def _known(known_at: datetime | None) -> str:
    """Nothing standing is received after, nor voided before, the end of time."""
    return "infinity" if known_at is None else known_at.isoformat()


def _edges(windows: Sequence[Window]) -> dict[str, str]:
    return {
        "starts": array_plain([window.start.isoformat() for window in windows]),
        "ends": array_plain([window.end.isoformat() for window in windows]),
    }
