"""Stores usage events: each once, for ever, whatever is sent twice, late, in parallel or wrong."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from billing.exact import WIDE
from billing.metering.events import JudgedEvent, RejectedEvent, event_judge
from billing.metering.partitions import partitions_ensure
from contracts.usage import IngestAnswer, IngestResult

Key = tuple[str, str]
Judged = JudgedEvent | RejectedEvent


def usage_ingest(
    *, tenant_id: UUID, subject: str, events: Sequence[Mapping[str, Any]], received_at: datetime
) -> IngestAnswer:
    """Answers each event in the order sent: accepted, duplicate, conflict, or rejected with a reason.

    The id, the raw event and what it adds to the rollups commit in one transaction, so an event is either
    counted and remembered or neither. A bad event never fails its batch. The same (source, id) is a
    `duplicate` with the same body and a `conflict` with another one, also inside a batch; the first body
    stands.
    """
    judged = [event_judge(raw, subject=subject, received_at=received_at) for raw in events]
    first: dict[Key, JudgedEvent] = {}
    for event in judged:
        if isinstance(event, JudgedEvent):
            first.setdefault(event.key, event)
    # Two batches that share ids wait for each other in this order, and so cannot deadlock.
    candidates = [first[key] for key in sorted(first)]
    fresh, stored = _store(tenant_id, candidates, received_at) if candidates else (set(), {})
    return _answer(_results(judged, fresh, stored))


def _store(
    tenant_id: UUID, candidates: list[JudgedEvent], received_at: datetime
) -> tuple[set[Key], dict[Key, bytes]]:
    """Stores the new ones. Returns their keys, and the stored hash of every candidate."""
    with transaction.atomic():
        partitions_ensure(at=received_at)
        fresh = _keys_claim(tenant_id, candidates, received_at)
        new = [event for event in candidates if event.key in fresh]
        stored = {event.key: event.body_hash for event in new}
        known = [event.key for event in candidates if event.key not in fresh]
        if known:
            stored |= _hashes(tenant_id, known)
        if new:
            _events_insert(tenant_id, new, received_at)
            _rollups_add(tenant_id, new)
            _samples_insert(tenant_id, new)
    return fresh, stored


def _keys_claim(tenant_id: UUID, events: list[JudgedEvent], received_at: datetime) -> set[Key]:
    """The ones nobody has counted. A batch that holds the same key at this moment is waited for here."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usageeventkey (tenant_id, source, event_id, body_hash, received_at)
            SELECT %s, source, event_id, body_hash, %s
            FROM unnest(%s::text[], %s::text[], %s::bytea[]) AS e (source, event_id, body_hash)
            ON CONFLICT DO NOTHING
            RETURNING source, event_id
            """,
            [
                tenant_id,
                received_at,
                [event.source for event in events],
                [event.event_id for event in events],
                [event.body_hash for event in events],
            ],
        )
        return {(source, event_id) for source, event_id in cursor.fetchall()}


def _hashes(tenant_id: UUID, keys: list[Key]) -> dict[Key, bytes]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT k.source, k.event_id, k.body_hash
            FROM unnest(%s::text[], %s::text[]) AS e (source, event_id)
            JOIN billing_usageeventkey k
                ON k.tenant_id = %s AND k.source = e.source AND k.event_id = e.event_id
            """,
            [[source for source, _ in keys], [event_id for _, event_id in keys], tenant_id],
        )
        return {(source, event_id): bytes(body_hash) for source, event_id, body_hash in cursor.fetchall()}


def _events_insert(tenant_id: UUID, events: list[JudgedEvent], received_at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usageevent (tenant_id, source, event_id, received_at, type, time, body)
            SELECT %s, source, event_id, %s, type, time, body
            FROM ROWS FROM (
                unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[]), jsonb_array_elements(%s::jsonb)
            ) AS e (source, event_id, type, time, body)
            """,
            [
                tenant_id,
                received_at,
                [event.source for event in events],
                [event.event_id for event in events],
                [event.type for event in events],
                [event.time for event in events],
                # One document, since quoting the quotes of each body inside an array costs more than all the rest.
                f"[{','.join(event.body for event in events)}]",
            ],
        )


def _rollups_add(tenant_id: UUID, events: list[JudgedEvent]) -> None:
    sums: dict[tuple[str, datetime, str], Decimal] = {}
    for event in events:
        for delta in event.deltas:
            key = (delta.meter, delta.bucket, delta.dimensions)
            sums[key] = WIDE.add(sums.get(key, Decimal(0)), delta.value)
    if not sums:
        return
    rows = sorted(sums)  # one order for every batch, again against deadlocks
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usagerollup AS r (tenant_id, meter, bucket, dimensions, value)
            SELECT %s, meter, bucket, dimensions::jsonb, value
            FROM unnest(%s::text[], %s::timestamptz[], %s::text[], %s::numeric[])
                AS d (meter, bucket, dimensions, value)
            ON CONFLICT (tenant_id, meter, bucket, dimensions) DO UPDATE SET value = r.value + EXCLUDED.value
            """,
            [
                tenant_id,
                [meter for meter, _, _ in rows],
                [bucket for _, bucket, _ in rows],
                [dimensions for _, _, dimensions in rows],
                [sums[key] for key in rows],
            ],
        )


def _samples_insert(tenant_id: UUID, events: list[JudgedEvent]) -> None:
    rows = [(event, sample) for event in events for sample in event.samples]
    if not rows:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_gaugesample (tenant_id, meter, component, time, source, event_id, value)
            SELECT %s, meter, component, time, source, event_id, value
            FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[], %s::text[], %s::numeric[])
                AS g (meter, component, time, source, event_id, value)
            """,
            [
                tenant_id,
                [sample.meter for _, sample in rows],
                [sample.component for _, sample in rows],
                [event.time for event, _ in rows],
                [event.source for event, _ in rows],
                [event.event_id for event, _ in rows],
                [sample.value for _, sample in rows],
            ],
        )


def _results(
    judged: Sequence[Judged], fresh: Collection[Key], stored: Mapping[Key, bytes]
) -> list[IngestResult]:
    unclaimed = set(fresh)
    results = []
    for event in judged:
        if isinstance(event, RejectedEvent):
            results.append(IngestResult(id=event.event_id, outcome="rejected", reason=event.reason))
        elif event.key in unclaimed:
            unclaimed.remove(event.key)
            results.append(IngestResult(id=event.event_id, outcome="accepted"))
        elif stored[event.key] == event.body_hash:
            results.append(IngestResult(id=event.event_id, outcome="duplicate"))
        else:
            reason = "this source has sent another body under this id; the first one stands"
            results.append(IngestResult(id=event.event_id, outcome="conflict", reason=reason))
    return results


def _answer(results: list[IngestResult]) -> IngestAnswer:
    outcomes = [result.outcome for result in results]
    return IngestAnswer(
        accepted=outcomes.count("accepted"),
        duplicate=outcomes.count("duplicate"),
        conflict=outcomes.count("conflict"),
        rejected=outcomes.count("rejected"),
        results=results,
    )
