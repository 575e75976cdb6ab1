"""Raw events as they count: with their corrections, now or as known at an earlier moment. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from billing.metering.arrays import array_plain
from billing.metering.decoding import stored_read
from billing.metering.facts import ValidEvent
from billing.metering.segments import RawPart

#: An event counts by its own body until a correction takes its place. Of several the newest known one stands.
EFFECTIVE = """
    SELECT e.tenant_id, e.source, e.event_id, e.type, e.time, e.body::text AS body, e.received_at, false AS amended
    FROM billing_usageevent e
    WHERE e.tenant_id = ANY(%(tenants)s) AND e.type = %(type)s AND e.time >= %(start)s AND e.time < %(end)s
      AND e.received_at <= %(known)s
      AND NOT EXISTS (
          SELECT FROM billing_usagecorrection c
          WHERE c.tenant_id = e.tenant_id AND c.source = e.source AND c.event_id = e.event_id
            AND c.recorded_at <= %(known)s
      )
    UNION ALL
    SELECT a.tenant_id, a.source, a.event_id, a.type, a.time, a.body::text, a.received_at, true
    FROM billing_usagecorrection a
    WHERE a.tenant_id = ANY(%(tenants)s) AND a.type = %(type)s AND a.time >= %(start)s AND a.time < %(end)s
      AND a.action = 'amend' AND a.recorded_at <= %(known)s
      AND NOT EXISTS (
          SELECT FROM billing_usagecorrection n
          WHERE n.tenant_id = a.tenant_id AND n.source = a.source AND n.event_id = a.event_id
            AND n.revision > a.revision AND n.recorded_at <= %(known)s
      )
"""


@dataclass(frozen=True)
class RawEvent:
    tenant_id: UUID
    index: int
    event: ValidEvent


def known_text(known_at: datetime | None) -> str:
    return "infinity" if known_at is None else known_at.isoformat()


def raw_events(
    *, tenant_ids: Sequence[UUID], event_type: str, parts: Sequence[RawPart], known_at: datetime | None
) -> list[RawEvent]:
    """The events of these stretches, each with the index of its window."""
    if not parts:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT p.index, f.tenant_id, f.source, f.event_id, f.time, f.body
            FROM unnest(%(indexes)s::int[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
                AS p (index, start, finish)
            CROSS JOIN LATERAL ({_lateral()}) AS f
            """,  # noqa: S608 - a constant is put in
            {
                "tenants": list(tenant_ids),
                "type": event_type,
                "known": known_text(known_at),
                "indexes": array_plain([part.index for part in parts]),
                "starts": array_plain([part.start.isoformat() for part in parts]),
                "ends": array_plain([part.end.isoformat() for part in parts]),
            },
        )
        return [
            RawEvent(tenant_id, index, stored_read(source, event_id, event_type, time, body))
            for index, tenant_id, source, event_id, time, body in cursor.fetchall()
        ]


def _lateral() -> str:
    return EFFECTIVE.replace("%(start)s", "p.start").replace("%(end)s", "p.finish")


def touched_times(
    *, tenant_ids: Sequence[UUID], event_type: str, start: datetime, end: datetime, known_at: datetime
) -> list[datetime]:
    """When the events of [start, end) happened that came in, or were corrected, only after `known_at`."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT date_bin('15 minutes', time, 'epoch') FROM (
                SELECT time FROM billing_usageevent
                WHERE tenant_id = ANY(%(tenants)s) AND type = %(type)s AND time >= %(start)s AND time < %(end)s
                  AND received_at > %(known)s
                UNION ALL
                SELECT moment FROM billing_usagecorrection c, unnest(ARRAY[c.time, c.replaced_time]) AS moment
                WHERE c.tenant_id = ANY(%(tenants)s) AND c.type = %(type)s AND c.recorded_at > %(known)s
                  AND moment >= %(start)s AND moment < %(end)s
            ) AS t (time)
            """,
            {
                "tenants": list(tenant_ids),
                "type": event_type,
                "start": start,
                "end": end,
                "known": known_at,
            },
        )
        return [moment for (moment,) in cursor.fetchall()]
