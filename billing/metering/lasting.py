"""Measures what lasts: how long resources existed, and gauges, whose samples hold until the next. Reads only.

Each function gives parts of a statement (statement.py) and what is done with a row of theirs.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from billing.exact import WIDE, quantity
from billing.metering.catalogue import Meter
from billing.metering.statement import Part, Row, ends_array, starts_array, tenants_array
from billing.metering.windows import Window, utc_months

#: (tenant, window index, dimensions as JSON, value)
Count = Callable[[UUID, int, str, Decimal], None]
_GIGABYTE = 10**9
#: Samples that stand: received, and not voided, by the moment asked for.
_STANDING = (
    """(received_at IS NULL OR received_at <= %(known)s) AND (voided_at IS NULL OR voided_at > %(known)s)"""
)


def spans_part(
    tenant_ids: Sequence[UUID],
    counts: dict[str, list[Count]],
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None,
) -> Part:
    """Hours, of all meters of `counts` together. A span whose end was recorded after `known_at` was open then."""

    def take(row: Row) -> None:
        tenant_id, index, meter, dimensions, _, seconds, _ = row
        for count in counts[meter]:
            count(tenant_id, index, dimensions, quantity(seconds or 0, 3600))

    return Part(
        """
        SELECT s.tenant_id, (w.number - 1)::int, s.meter, s.dimensions, NULL::text,
               sum(extract(epoch FROM upper(s.span * w.range) - lower(s.span * w.range)))
        FROM (
            SELECT number, tstzrange(start, least(finish, %(as_of)s)) AS range
            FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
                WITH ORDINALITY AS w (start, finish, number)
            WHERE start < %(as_of)s
        ) AS w
        JOIN (
            SELECT n.tenant_id, n.meter,
                   (r.dimensions || jsonb_build_object('resource', r.resource))::text AS dimensions,
                   CASE WHEN r.closed_recorded_at > %(known)s THEN tstzrange(lower(r.span), NULL)
                        ELSE r.span END AS span
            FROM billing_spanslot n JOIN billing_resourcespan r ON r.span_slot_id = n.id
            WHERE n.tenant_id = ANY(%(tenants)s::uuid[]) AND n.meter = ANY(%(meters)s)
              AND (r.opened_recorded_at IS NULL OR r.opened_recorded_at <= %(known)s)
        ) AS s ON s.span && w.range
        GROUP BY 1, 2, 3, 4
        """,
        {
            "as_of": as_of,
            "starts": starts_array(windows),
            "ends": ends_array(windows),
            "tenants": tenants_array(tenant_ids),
            "meters": list(counts),
            "known": _known(known_at),
        },
        take,
    )


def weighted_part(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    count: Count,
    windows: Sequence[Window],
    as_of: datetime,
    known_at: datetime | None,
) -> Part | None:
    """Byte-seconds over the seconds of the UTC month they fall in; windows are cut at months for that.

    A sample holds until the next one of its component; of several at one moment the last id's stands. None where no
    window has begun.
    """
    pieces = [
        (index, piece, month)
        for index, window in enumerate(windows)
        for piece, month in utc_months(window.start, min(window.end, as_of))
    ]
    if not pieces:
        return None

    def take(row: Row) -> None:
        tenant_id, number, _, dimensions, _, byte_seconds, _ = row
        index, _, month = pieces[number]
        share = WIDE.divide(byte_seconds or Decimal(0), Decimal(_GIGABYTE * (month // timedelta(seconds=1))))
        count(tenant_id, index, dimensions, share)

    return Part(
        f"""
        WITH held AS (
            SELECT tenant_id, component, value, time AS start,
                   lead(time, 1, 'infinity') OVER (
                       PARTITION BY tenant_id, component
                       ORDER BY time, source COLLATE "C", event_id COLLATE "C"
                   ) AS finish
            FROM billing_gaugesample
            WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND meter = %(meter)s AND time < %(end)s AND {_STANDING}
        )
        SELECT h.tenant_id, (w.number - 1)::int, %(meter)s::text,
               jsonb_build_object(%(dimension)s::text, h.component)::text, NULL::text,
               sum(h.value * extract(epoch FROM least(h.finish, w.finish) - greatest(h.start, w.start)))
        FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
            WITH ORDINALITY AS w (start, finish, number)
        JOIN held h ON h.start < w.finish AND h.finish > w.start AND h.value > 0
        GROUP BY 1, 2, 4
        """,  # noqa: S608 - a constant is put in
        {
            "tenants": tenants_array(tenant_ids),
            "meter": meter.key,
            "end": pieces[-1][1].end,
            "dimension": meter.dimensions[0],
            "known": _known(known_at),
            "starts": starts_array(piece for _, piece, _ in pieces),
            "ends": ends_array(piece for _, piece, _ in pieces),
        },
        take,
    )


def latest_part(
    tenant_ids: Sequence[UUID],
    meter: Meter,
    count: Count,
    windows: Sequence[Window],
    known_at: datetime | None,
) -> Part:
    """The last sample of each component inside each window, by time, source and id."""

    def take(row: Row) -> None:
        tenant_id, index, _, dimensions, _, value, _ = row
        count(tenant_id, index, dimensions, value or Decimal(0))

    return Part(
        f"""
        SELECT DISTINCT ON (tenant_id, number, component)
               tenant_id, width_bucket(time, %(starts)s::timestamptz[]) - 1 AS number, %(meter)s::text,
               jsonb_build_object(%(dimension)s::text, component)::text, NULL::text, value
        FROM billing_gaugesample
        WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND meter = %(meter)s AND time >= %(start)s AND time < %(end)s
          AND {_STANDING}
        ORDER BY tenant_id, number, component, time DESC, source COLLATE "C" DESC, event_id COLLATE "C" DESC
        """,  # noqa: S608 - a constant is put in
        {
            "starts": starts_array(windows),
            "start": windows[0].start,
            "end": windows[-1].end,
            "tenants": tenants_array(tenant_ids),
            "meter": meter.series or meter.key,
            "dimension": meter.dimensions[0],
            "known": _known(known_at),
        },
        take,
    )


def _known(known_at: datetime | None) -> str:
    """Nothing standing is received after, nor voided before, the end of time."""
    return "infinity" if known_at is None else known_at.isoformat()
