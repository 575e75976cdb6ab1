"""Raw events as they are kept: those of one type and hour that came in together are one compressed row.

A thousand events of a runtime are much alike, so together they take a twentieth of the room, and of the log that
Postgres writes before it answers. A chunk is a JSON array of the canonical bodies; it is never changed.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import zstandard
from django.db import connection

from billing.metering.arrays import array_plain
from billing.metering.decoding import stored_events
from billing.metering.facts import HOUR_S, ValidEvent, seconds_of
from billing.metering.segments import bucket_of

#: Of a chunk, once it is JSON again: more than the largest request carries.
LARGEST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Hour:
    """An hour in which there are events of a type, and how many."""

    start: datetime
    events: int


def hour_of(moment: datetime) -> datetime:
    return bucket_of(moment, HOUR_S)


def chunk_pack(bodies: Iterable[bytes]) -> bytes:
    # Level 1 halves what the next ones take, and loses little on bodies that are alike.
    return zstandard.ZstdCompressor(level=1).compress(b"[%b]" % b",".join(bodies))


def chunk_unpack(packed: bytes) -> bytes:
    """The JSON array."""
    return zstandard.ZstdDecompressor().decompress(packed, max_output_size=LARGEST_BYTES)


def chunks_insert(tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime) -> None:
    """Raises IntegrityError where the month of `received_at` has no partition."""
    parts: dict[tuple[str, int], list[bytes]] = defaultdict(list)
    for event in events:
        parts[event.type, seconds_of(event.time) // HOUR_S].append(event.body)
    keys = sorted(parts)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usageeventchunk (tenant_id, type, hour, received_at, events, body)
            SELECT %s, type, to_timestamp(hour), %s, events, body
            FROM unnest(%s::text[], %s::bigint[], %s::int[], %s::bytea[]) AS c (type, hour, events, body)
            """,
            [
                tenant_id,
                received_at,
                [event_type for event_type, _ in keys],
                array_plain([hour * HOUR_S for _, hour in keys]),
                array_plain([len(parts[key]) for key in keys]),
                [chunk_pack(parts[key]) for key in keys],
            ],
        )


def hours_with_events(
    *, tenant_id: UUID, event_type: str, start: datetime, end: datetime, known: str
) -> list[Hour]:
    """Hours that overlap [start, end), in their order, with events received by `known`."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT hour, sum(events) FROM billing_usageeventchunk
            WHERE tenant_id = %s AND type = %s AND hour >= %s AND hour < %s AND received_at <= %s
            GROUP BY hour ORDER BY hour
            """,
            [tenant_id, event_type, hour_of(start), end, known],
        )
        return [Hour(hour, int(events)) for hour, events in cursor.fetchall()]


def quarters_received_since(
    *, tenant_ids: Sequence[UUID], event_type: str, start: datetime, end: datetime, known: datetime
) -> list[datetime]:
    """Every quarter of the hours of [start, end) for which events were received after `known`."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT hour + make_interval(mins => minutes)
            FROM billing_usageeventchunk, unnest(ARRAY[0, 15, 30, 45]) AS minutes
            WHERE tenant_id = ANY(%s) AND type = %s AND hour >= %s AND hour < %s AND received_at > %s
            """,
            [list(tenant_ids), event_type, hour_of(start), end, known],
        )
        return [moment for (moment,) in cursor.fetchall()]


def event_find(
    *,
    tenant_id: UUID,
    types: Sequence[str],
    time: datetime,
    received_at: datetime,
    source: str,
    event_id: str,
) -> ValidEvent | None:
    """The one event, as it was received."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT body FROM billing_usageeventchunk
            WHERE tenant_id = %s AND type = ANY(%s) AND hour = %s AND received_at = %s
            """,
            [tenant_id, list(types), hour_of(time), received_at],
        )
        found = (
            event
            for (packed,) in cursor.fetchall()
            for event in stored_events(chunk_unpack(packed))
            if event.key == (source, event_id)
        )
        return next(found, None)
