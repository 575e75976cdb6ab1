"""Raw events as they count: with their corrections, now or as known at an earlier moment. Reads only."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection

from billing.metering.arrays import array_plain
from billing.metering.chunks import Hour, chunk_unpack, hour_of, hours_with_events, quarters_received_since
from billing.metering.decoding import stored_event, stored_events
from billing.metering.facts import HOUR_S, ValidEvent
from billing.metering.segments import RawPart
from billing.metering.statement import Part, Row, parts_run, tenants_array

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
    *,
    tenant_ids: Sequence[UUID],
    event_types: Sequence[str],
    hours: Collection[datetime],
    known_at: datetime | None,
) -> list[EffectiveEvent]:
    """Those that happened in these hours, in no order."""
    reading = EffectiveReading(tenant_ids, event_types, hours, known_at)
    parts_run(reading.parts)
    return reading.events()


class EffectiveReading:
    """What effective_events reads, as parts of a statement that reads more; `events` once that has run."""

    def __init__(
        self,
        tenant_ids: Sequence[UUID],
        event_types: Sequence[str],
        hours: Collection[datetime],
        known_at: datetime | None,
    ) -> None:
        self._received: list[tuple[UUID, bytes]] = []
        self._corrected: set[tuple[UUID, str, str]] = set()
        self._amended: list[EffectiveEvent] = []
        asked = {
            "tenants": tenants_array(tenant_ids),
            "types": list(event_types),
            "hours": array_plain(hour.isoformat() for hour in sorted(hours)),
            "known": known_text(known_at),
        }
        self.parts = (
            [
                Part(_RECEIVED, asked, self._receive, raw=True),
                Part(_CORRECTED, asked, self._correct),
                Part(_AMENDED, asked, self._amend, raw=True),
            ]
            if hours
            else []
        )

    def events(self) -> list[EffectiveEvent]:
        received = (
            (tenant_id, event)
            for tenant_id, packed in self._received
            for event in stored_events(chunk_unpack(packed))
        )
        return [
            EffectiveEvent(tenant_id, event, False)
            for tenant_id, event in received
            if not self._corrected or (tenant_id, *event.key) not in self._corrected
        ] + self._amended

    def _receive(self, row: Row) -> None:
        self._received.append((row[0], row[6] or b""))

    def _correct(self, row: Row) -> None:
        self._corrected.add((row[0], row[2], row[3]))

    def _amend(self, row: Row) -> None:
        self._amended.append(EffectiveEvent(row[0], stored_event(row[6] or b""), True))


_RECEIVED: Final = """
    SELECT tenant_id, 0, type, ''::text, NULL::text, NULL::numeric, body FROM billing_usageeventchunk
    WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND type = ANY(%(types)s)
      AND hour = ANY(%(hours)s::timestamptz[]) AND received_at <= %(known)s
"""
#: Keys of events that count no more as they came: the first correction takes the place of what was received.
_CORRECTED: Final = """
    SELECT tenant_id, 0, source, event_id, NULL::text, NULL::numeric FROM billing_usagecorrection
    WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND type = ANY(%(types)s) AND revision = 1
      AND recorded_at <= %(known)s AND date_trunc('hour', replaced_time, 'UTC') = ANY(%(hours)s::timestamptz[])
"""
#: The bodies that count in their place.
_AMENDED: Final = """
    SELECT tenant_id, 0, type, ''::text, NULL::text, NULL::numeric, convert_to(body::text, 'UTF8')
    FROM billing_usagecorrection a
    WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND type = ANY(%(types)s) AND action = 'amend'
      AND recorded_at <= %(known)s AND date_trunc('hour', time, 'UTC') = ANY(%(hours)s::timestamptz[])
      AND NOT EXISTS (
          SELECT FROM billing_usagecorrection n
          WHERE n.tenant_id = a.tenant_id AND n.source = a.source AND n.event_id = a.event_id
            AND n.revision > a.revision AND n.recorded_at <= %(known)s
      )
"""


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


def raw_events(
    *, tenant_ids: Sequence[UUID], event_type: str, parts: Sequence[RawPart], known_at: datetime | None
) -> list[RawEvent]:
    """The events of these stretches, each with the index of its window."""
    found = effective_events(
        tenant_ids=tenant_ids, event_types=[event_type], hours=hours_of(parts), known_at=known_at
    )
    return events_placed(found, event_type, parts)


def hours_of(parts: Iterable[RawPart]) -> set[datetime]:
    """The hours that these stretches touch."""
    return {hour for part in parts for hour in _hours(part)}


def events_placed(
    found: Iterable[EffectiveEvent], event_type: str, parts: Sequence[RawPart]
) -> list[RawEvent]:
    """Those of the type that lie in the stretches, each with the index of its window."""
    by_hour: dict[datetime, list[RawPart]] = defaultdict(list)
    for part in parts:
        for hour in _hours(part):
            by_hour[hour].append(part)
    return [
        RawEvent(each.tenant_id, part.index, each.event)
        for each in found
        if each.event.type == event_type
        for part in by_hour.get(hour_of(each.event.time), ())
        if part.start <= each.event.time < part.end
    ]


def _hours(part: RawPart) -> Iterator[datetime]:
    hour = hour_of(part.start)
    while hour < part.end:
        yield hour
        hour += _HOUR


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
