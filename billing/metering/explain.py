"""What a total is made of: the exact events, samples or spans, page by page. Reads only."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import quantity
from billing.metering.catalogue import Meter, meter_get
from billing.metering.chunks import Hour
from billing.metering.facts import READERS, ValidEvent, passes, scaled
from billing.metering.raw import effective_events, hours_that_count, known_text

MOST = 1000
#: Events unpacked at a time while a page is put together.
READ_AT_ONCE = 5000
SPAN_SOURCE = "/control-plane"


@dataclass(frozen=True)
class Explained:
    """One event, or one span with its id in place of the event's and `/control-plane` as its source.

    `value` is what it adds: an event's count or value, a span's hours inside the stretch. For `unique` it is 1, for
    a gauge the sample's value. `amended`: a correction replaced what was sent.
    """

    source: str
    id: str
    time: datetime
    value: Decimal
    dimensions: Mapping[str, str]
    amended: bool = False

    @property
    def cursor(self) -> tuple[datetime, str, str]:
        """Hand it back as `after` for what follows."""
        return (self.time, self.source, self.id)


Cursor = tuple[datetime, str, str]


def events_of(
    *,
    tenant_id: UUID,
    meter: str,
    dimensions_match: Mapping[str, str],
    start: datetime,
    end: datetime,
    known_at: datetime | None = None,
    limit: int = 100,
    after: Cursor | None = None,
) -> list[Explained]:
    """At most `limit` (1000) of those whose dimensions have these values, by time, source and id.

    As known at `known_at`, or now. Fewer than `limit` are the last. What adds nothing is left out. For spans `end` is
    where open ones are cut, so give the moment the total was taken at. Raises ValidationFailed naming `meter`.
    """
    known = meter_get(meter)
    wanted = min(max(1, limit), MOST)
    if known.aggregation == "span":
        return _spans(tenant_id, known, dimensions_match, start, end, known_at, wanted, after)
    found: list[Explained] = []
    for item in _in_order(tenant_id, known, start, end, known_at, after):
        if _matches(item, dimensions_match):
            found.append(item)
            if len(found) == wanted:
                break
    return found


def _in_order(
    tenant_id: UUID,
    meter: Meter,
    start: datetime,
    end: datetime,
    known_at: datetime | None,
    after: Cursor | None,
) -> Iterator[Explained]:
    """Hour by hour, about READ_AT_ONCE events at a time, and no further than is asked for."""
    event_type = str(meter.event_type)
    # What lies before the cursor's hour is not read again.
    first = start if after is None else max(start, after[0])
    hours = hours_that_count(
        tenant_id=tenant_id, event_type=event_type, start=first, end=end, known_at=known_at
    )
    for together in _read_together(hours):
        effective = effective_events(
            tenant_ids=[tenant_id], event_types=[event_type], hours=together, known_at=known_at
        )
        items = [_explained(meter, each.event, each.amended) for each in effective]
        due = [
            item
            for item in items
            if item is not None and start <= item.time < end and (after is None or item.cursor > after)
        ]
        yield from sorted(due, key=lambda item: item.cursor)


def _read_together(hours: Sequence[Hour]) -> Iterator[list[datetime]]:
    together: list[datetime] = []
    events = 0
    for hour in hours:
        if together and events + hour.events > READ_AT_ONCE:
            yield together
            together, events = [], 0
        together.append(hour.start)
        events += hour.events
    if together:
        yield together


def _explained(meter: Meter, event: ValidEvent, amended: bool) -> Explained | None:
    if not passes(meter, event.type, event.values):
        return None
    reader = READERS[event.type]
    if meter.aggregation == "unique" or meter.value is None:
        value = Decimal(1)
    else:
        value = Decimal(scaled(meter, event.numbers[reader.figures.index(meter.value)]))
    if not value and meter.aggregation in ("sum", "max"):
        return None
    texts = {name: event.values[reader.texts.index(name)] for name in reader.texts}
    dimensions = {
        name: str(text).lower() if isinstance(text, bool) else str(text) for name, text in texts.items()
    }
    return Explained(event.source, event.event_id, event.time, value, dimensions, amended)


def _matches(item: Explained, wanted: Mapping[str, str]) -> bool:
    return all(item.dimensions.get(name) == value for name, value in wanted.items())


def _spans(
    tenant_id: UUID,
    meter: Meter,
    wanted: Mapping[str, str],
    start: datetime,
    end: datetime,
    known_at: datetime | None,
    limit: int,
    after: Cursor | None,
) -> list[Explained]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.id, s.resource, s.dimensions, lower(s.span * w.range) AS begun,
                   extract(epoch FROM upper(s.span * w.range) - lower(s.span * w.range))
            FROM (SELECT tstzrange(%(start)s, %(end)s) AS range) AS w
            JOIN (
                SELECT r.id, r.resource, r.dimensions::text AS dimensions,
                       CASE WHEN r.closed_recorded_at > %(known)s THEN tstzrange(lower(r.span), NULL)
                            ELSE r.span END AS span
                FROM billing_spanslot n JOIN billing_resourcespan r ON r.span_slot_id = n.id
                WHERE n.tenant_id = %(tenant)s AND n.meter = %(meter)s
                  AND (r.opened_recorded_at IS NULL OR r.opened_recorded_at <= %(known)s)
                  AND (r.dimensions || jsonb_build_object('resource', r.resource)) @> %(wanted)s::jsonb
            ) AS s ON s.span && w.range
            WHERE %(after)s::timestamptz IS NULL
               OR (lower(s.span * w.range), s.id::text) > (%(after)s::timestamptz, %(id)s::text)
            ORDER BY begun, s.id::text LIMIT %(limit)s
            """,
            {
                "start": start,
                "end": end,
                "tenant": tenant_id,
                "meter": meter.key,
                "known": known_text(known_at),
                "wanted": json.dumps(dict(wanted)),
                "after": None if after is None else after[0],
                "id": "" if after is None else after[2],
                "limit": limit,
            },
        )
        return [
            Explained(
                SPAN_SOURCE,
                str(span_id),
                begun,
                quantity(seconds, 3600),
                {**json.loads(dimensions), "resource": resource},
            )
            for span_id, resource, dimensions, begun, seconds in cursor.fetchall()
        ]
