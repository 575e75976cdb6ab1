"""Ingest's SQL: one statement a table and batch, whatever the number of events."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, connection, transaction
from psycopg.errors import UniqueViolation

from billing.metering.arrays import array_plain, array_text, copy_is_plain, copy_text
from billing.metering.catalogue import METERS, METERS_BY_EVENT
from billing.metering.facts import Number, Rows, ValidEvent, number_text

Key = tuple[str, str]
_HASH_BYTES = 32
_HIGHEST = [meter.key for meter in METERS.values() if meter.aggregation == "max"]
#: Event types that are samples of a gauge, with the meter under whose key these are kept.
_GAUGES = {
    event_type: meter
    for event_type, meters in METERS_BY_EVENT.items()
    for meter in meters
    if meter.aggregation == "time_weighted"
}


def _names_for_copy(events: Sequence[ValidEvent]) -> list[bytes]:
    """`source TAB event_id` of each."""
    names = [f"{event.source}\t{event.event_id}" for event in events]
    # The tabs that we put between are as many as there are names: one more is of a name, and is found.
    if copy_is_plain("".join(names).replace("\t", "", len(names))):
        return [name.encode() for name in names]
    return [f"{copy_text(event.source)}\t{copy_text(event.event_id)}".encode() for event in events]


def keys_known(tenant_id: UUID, events: Sequence[ValidEvent]) -> dict[Key, bytes]:
    """The stored hash of each key that has been counted."""
    with connection.cursor() as cursor:
        # LIMIT keeps the planner from reading the whole table of keys: one probe of its index for each event.
        cursor.execute(
            """
            SELECT e.source, e.event_id, k.body_hash
            FROM unnest(%s::text[], %s::text[]) AS e (source, event_id)
            CROSS JOIN LATERAL (
                SELECT body_hash FROM billing_usageeventkey
                WHERE tenant_id = %s AND source = e.source AND event_id = e.event_id LIMIT 1
            ) AS k
            """,
            [
                array_text([event.source for event in events]),
                array_text([event.event_id for event in events]),
                tenant_id,
            ],
        )
        return {(source, event_id): bytes(body_hash) for source, event_id, body_hash in cursor.fetchall()}


def keys_insert(tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime) -> bool:
    """Claims all of them, or none: False when one has been counted, or is being counted and then was.

    COPY costs half of what INSERT ... ON CONFLICT does, and nearly every batch is new from end to end.
    """
    tail = f"\t{received_at.isoformat()}\t"
    head = f"{tenant_id}\t".encode()
    rows = b"".join(
        [
            b"%b%b\t\\\\x%b\n" % (head, name, f"{event.body_hash.hex()}{tail}{event.time_text}".encode())
            for name, event in zip(_names_for_copy(events), events, strict=True)
        ]
    )
    columns = "tenant_id, source, event_id, body_hash, received_at, time"
    try:
        with (
            transaction.atomic(),
            connection.cursor() as cursor,
            connection.wrap_database_errors,
            cursor.copy(f"COPY billing_usageeventkey ({columns}) FROM STDIN") as copy,
        ):
            copy.write(rows)
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        return False
    return True


def keys_claim(tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime) -> set[Key]:
    """The ones nobody has counted. A batch that holds the same key at this moment is waited for here."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usageeventkey (tenant_id, source, event_id, body_hash, received_at, time)
            SELECT %s, source, event_id, substring(%s::bytea, (n::int - 1) * %s + 1, %s), %s, time
            FROM ROWS FROM (unnest(%s::text[]), unnest(%s::text[]), unnest(%s::timestamptz[]))
                WITH ORDINALITY AS e (source, event_id, time, n)
            ON CONFLICT DO NOTHING
            RETURNING source, event_id
            """,
            [
                tenant_id,
                b"".join([event.body_hash for event in events]),
                _HASH_BYTES,
                _HASH_BYTES,
                received_at,
                array_text([event.source for event in events]),
                array_text([event.event_id for event in events]),
                array_plain([event.time_text for event in events]),
            ],
        )
        return set(cursor.fetchall())


def rollups_add(tenant_id: UUID, rows: Rows) -> None:
    """Adds to sums, and raises maxima. Always in one order, against deadlocks with other batches."""
    changes: dict[tuple[str, int, str], Number] = {**rows.sums, **rows.highest}
    if not changes:
        return
    keys = sorted(changes)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usagerollup AS r (tenant_id, meter, bucket, dimensions, value)
            SELECT %s, meter, to_timestamp(bucket), dimensions::jsonb, value
            FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::numeric[])
                AS d (meter, bucket, dimensions, value)
            ON CONFLICT (tenant_id, meter, bucket, dimensions) DO UPDATE
            SET value = CASE WHEN r.meter = ANY(%s) THEN greatest(r.value, EXCLUDED.value)
                             ELSE r.value + EXCLUDED.value END
            """,
            [
                tenant_id,
                array_text([meter for meter, _, _ in keys]),
                array_plain([bucket for _, bucket, _ in keys]),
                array_text([dimensions for _, _, dimensions in keys]),
                array_plain([number_text(changes[key]) for key in keys]),
                _HIGHEST,
            ],
        )


def members_add(tenant_id: UUID, rows: Rows) -> None:
    """Who was there, with how many events say so, so that taking one back is exact."""
    if not rows.members:
        return
    keys = sorted(rows.members)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usagemember AS m (tenant_id, meter, bucket, dimensions, member, events)
            SELECT %s, meter, to_timestamp(bucket), dimensions, member, events
            FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[])
                AS d (meter, bucket, dimensions, member, events)
            ON CONFLICT (tenant_id, meter, bucket, dimensions, member) DO UPDATE
            SET events = m.events + EXCLUDED.events
            """,
            [
                tenant_id,
                array_text([key[0] for key in keys]),
                array_plain([key[1] for key in keys]),
                array_text([key[2] for key in keys]),
                array_text([key[3] for key in keys]),
                array_plain([rows.members[key] for key in keys]),
            ],
        )


def samples_insert(tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime) -> None:
    """The gauges' values. Each event is one sample of each gauge."""
    samples = [event for event in events if event.type in _GAUGES]
    if not samples:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_gaugesample
                (tenant_id, meter, component, time, source, event_id, value, received_at)
            SELECT %s, meter, component, time, source, event_id, value, %s
            FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::numeric[])
                AS g (meter, component, time, source, event_id, value)
            """,
            [
                tenant_id,
                received_at,
                array_text([_GAUGES[event.type].key for event in samples]),
                array_text([str(event.values[0]) for event in samples]),
                array_plain([event.time.isoformat() for event in samples]),
                array_text([event.source for event in samples]),
                array_text([event.event_id for event in samples]),
                array_plain([number_text(event.numbers[0]) for event in samples]),
            ],
        )
