"""Raw events as they count: with their corrections, now or as known at an earlier moment. Reads only."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from billing.metering.chunks import (
    Hour,
    events_of_hours,
    hour_of,
    hours_with_events,
    quarters_received_since,
)
from billing.metering.decoding import stored_event
from billing.metering.facts import HOUR_S, ValidEvent
from billing.metering.segments import RawPart

_HOUR = timedelta(seconds=HOUR_S)


@dataclass(frozen=True)
class EffectiveEvent:
    """An event counts by its own body until a correction takes its place. Of several the newest known one stands."""

    tenant_id: UUID
    event: ValidEvent
    amended: bool


@dataclass(frozen=True)
class RawEvent:
    tenant_id: UUID
    index: int
    event: ValidEvent


def known_text(known_at: datetime | None) -> str:
    return "infinity" if known_at is None else known_at.isoformat()


def effective_events(
    *, tenant_ids: Sequence[UUID], event_type: str, hours: Collection[datetime], known_at: datetime | None
) -> list[EffectiveEvent]:
    """Those that happened in these hours, in no order."""
    if not hours:
        return []
    known = known_text(known_at)
    corrected, amended = _corrections(tenant_ids, event_type, hours, known)
    found = [
        EffectiveEvent(tenant_id, event, False)
        for tenant_id, event in events_of_hours(
            tenant_ids=tenant_ids, event_type=event_type, hours=hours, known=known
        )
        if not corrected or (tenant_id, *event.key) not in corrected
    ]
    return found + amended


def hours_that_count(
    *, tenant_id: UUID, event_type: str, start: datetime, end: datetime, known_at: datetime | None
) -> list[Hour]:
    """The hours overlapping [start, end) that effective_events may have something of, in their order."""
    known = known_text(known_at)
    received = hours_with_events(
        tenant_id=tenant_id, event_type=event_type, start=start, end=end, known=known
    )
    hours = {hour.start: hour.events for hour in received}
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT date_trunc('hour', time, 'UTC') FROM billing_usagecorrection
            WHERE tenant_id = %s AND type = %s AND action = 'amend' AND recorded_at <= %s
              AND time >= %s AND time < %s
            """,
            [tenant_id, event_type, known, start, end],
        )
        for (hour,) in cursor.fetchall():
            hours[hour] = hours.get(hour, 0) + 1
    return [Hour(hour, hours[hour]) for hour in sorted(hours)]


def _corrections(
    tenant_ids: Sequence[UUID], event_type: str, hours: Collection[datetime], known: str
) -> tuple[set[tuple[UUID, str, str]], list[EffectiveEvent]]:
    """Keys of events of these hours that count no more as they came, and the bodies that count in these hours."""
    asked: dict[str, Any] = {
        "tenants": list(tenant_ids),
        "type": event_type,
        "hours": sorted(hours),
        "known": known,
    }
    with connection.cursor() as cursor:
        # The first correction of an event takes the place of what was received.
        cursor.execute(
            """
            SELECT tenant_id, source, event_id FROM billing_usagecorrection
            WHERE tenant_id = ANY(%(tenants)s) AND type = %(type)s AND revision = 1 AND recorded_at <= %(known)s
              AND date_trunc('hour', replaced_time, 'UTC') = ANY(%(hours)s)
            """,
            asked,
        )
        corrected = set(cursor.fetchall())
        cursor.execute(
            """
            SELECT tenant_id, body::text FROM billing_usagecorrection a
            WHERE tenant_id = ANY(%(tenants)s) AND type = %(type)s AND action = 'amend' AND recorded_at <= %(known)s
              AND date_trunc('hour', time, 'UTC') = ANY(%(hours)s)
              AND NOT EXISTS (
                  SELECT FROM billing_usagecorrection n
                  WHERE n.tenant_id = a.tenant_id AND n.source = a.source AND n.event_id = a.event_id
                    AND n.revision > a.revision AND n.recorded_at <= %(known)s
              )
            """,
            asked,
        )
        amended = [
            EffectiveEvent(tenant_id, stored_event(body.encode()), True)
            for tenant_id, body in cursor.fetchall()
        ]
    return corrected, amended


def raw_events(
    *, tenant_ids: Sequence[UUID], event_type: str, parts: Sequence[RawPart], known_at: datetime | None
) -> list[RawEvent]:
    """The events of these stretches, each with the index of its window."""
    by_hour: dict[datetime, list[RawPart]] = defaultdict(list)
    for part in parts:
        hour = hour_of(part.start)
        while hour < part.end:
            by_hour[hour].append(part)
            hour += _HOUR
    found = effective_events(
        tenant_ids=tenant_ids, event_type=event_type, hours=by_hour.keys(), known_at=known_at
    )
    return [
        RawEvent(each.tenant_id, part.index, each.event)
        for each in found
        for part in by_hour[hour_of(each.event.time)]
        if part.start <= each.event.time < part.end
    ]


def touched_times(
    *, tenant_ids: Sequence[UUID], event_type: str, start: datetime, end: datetime, known_at: datetime
) -> list[datetime]:
    """At least the quarters of [start, end) of which an event came in, or was corrected, only after `known_at`."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT date_bin('15 minutes', moment, 'epoch')
            FROM billing_usagecorrection c, unnest(ARRAY[c.time, c.replaced_time]) AS moment
            WHERE c.tenant_id = ANY(%(tenants)s) AND c.type = %(type)s AND c.recorded_at > %(known)s
              AND moment >= %(start)s AND moment < %(end)s
            """,
            {"tenants": list(tenant_ids), "type": event_type, "start": start, "end": end, "known": known_at},
        )
        corrected = [moment for (moment,) in cursor.fetchall()]
    return corrected + quarters_received_since(
        tenant_ids=tenant_ids, event_type=event_type, start=start, end=end, known=known_at
    )
