"""Stores usage events: each once, for ever, whatever is sent twice, late, in parallel or wrong."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from billing.metering.answers import IngestAnswer, IngestResult, answer_of
from billing.metering.chunks import chunks_insert
from billing.metering.decoding import Judged, events_judge
from billing.metering.events import RejectedEvent
from billing.metering.facts import ValidEvent, facts_of, rows_of
from billing.metering.partitions import partition_missing, partitions_ensure
from billing.metering.store import (
    Key,
    keys_claim,
    keys_insert,
    keys_known,
    members_add,
    rollups_add,
    samples_insert,
)
from embedded.crashpoints import crash_point


def usage_ingest(
    *, tenant_id: UUID, subject: str, events: Sequence[object], received_at: datetime
) -> IngestAnswer:
    """Answers each event in the order sent: accepted, duplicate, conflict, or rejected with a reason.

    `events` are what decoding.batch_decode made of a request, or parsed JSON objects. The id, the raw event and
    what it adds to the rollups commit in one transaction, so an event is either counted and remembered or neither.
    A bad event never fails its batch. The same (source, id) is a `duplicate` with the same body and a `conflict`
    with another one, also inside a batch; the first body stands.
    """
    judged = events_judge(events, subject=subject, received_at=received_at)
    first: dict[Key, ValidEvent] = {}
    for event in judged:
        if isinstance(event, ValidEvent):
            first.setdefault(event.key, event)
    # Two batches that share ids wait for each other in this order, and so cannot deadlock.
    candidates = [first[key] for key in sorted(first)]
    fresh, stored = _store(tenant_id, candidates, received_at) if candidates else (set(), {})
    crash_point("billing.ingest.committed")
    return answer_of(_results(judged, fresh, stored))


def _store(
    tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime
) -> tuple[set[Key], dict[Key, bytes]]:
    """Stores the new ones of these, which are in the order of their keys. Returns the keys of the new ones, and the
    stored hash of the others."""
    try:
        with transaction.atomic():
            return _store_once(tenant_id, events, received_at)
    except IntegrityError as error:
        if not partition_missing(error):
            raise
    # Once a month, and only where the schedule has not made it ahead. Committed before anything else is locked:
    # a partition is made under a lock that stops all ingest.
    partitions_ensure(at=received_at)
    with transaction.atomic():
        return _store_once(tenant_id, events, received_at)


def _store_once(
    tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime
) -> tuple[set[Key], dict[Key, bytes]]:
    crash_point("billing.ingest.begun")
    fresh, stored = _claim(tenant_id, events, received_at)
    crash_point("billing.ingest.claimed")
    if fresh:
        new = events if len(fresh) == len(events) else [event for event in events if event.key in fresh]
        chunks_insert(tenant_id, new, received_at)
        crash_point("billing.ingest.stored")
        samples_insert(tenant_id, new, received_at)
        crash_point("billing.ingest.sampled")
        # Last: batches of one tenant wait for each other at these rows, until the one that has them commits.
        rows = rows_of(facts_of(new))
        members_add(tenant_id, rows)
        crash_point("billing.rollup.members")
        rollups_add(tenant_id, rows)
        crash_point("billing.rollup.added")
    return fresh, stored


def _claim(
    tenant_id: UUID, events: Sequence[ValidEvent], received_at: datetime
) -> tuple[set[Key], dict[Key, bytes]]:
    """The keys that are ours to count, and the stored hash of the others.

    A batch that is sent again is sent again from its beginning: its first event tells which way is the cheap one.
    """
    if not keys_known(tenant_id, events[:1]) and keys_insert(tenant_id, events, received_at):
        return {event.key for event in events}, {}
    known = keys_known(tenant_id, events)
    unknown = [event for event in events if event.key not in known]
    fresh = keys_claim(tenant_id, unknown, received_at) if unknown else set()
    lost = [event for event in unknown if event.key not in fresh]
    if lost:  # somebody else was faster
        known |= keys_known(tenant_id, lost)
    return fresh, known


def _results(
    judged: Sequence[Judged], fresh: Collection[Key], stored: Mapping[Key, bytes]
) -> list[IngestResult]:
    if len(fresh) == len(judged):
        return [IngestResult(event.event_id, "accepted") for event in judged]
    unclaimed, known = set(fresh), dict(stored)
    results = []
    for event in judged:
        if isinstance(event, RejectedEvent):
            results.append(IngestResult(event.event_id, "rejected", event.reason))
            continue
        key = event.key
        if key in unclaimed:
            unclaimed.remove(key)
            known[key] = event.body_hash
            results.append(IngestResult(event.event_id, "accepted"))
        elif known[key] == event.body_hash:
            results.append(IngestResult(event.event_id, "duplicate"))
        else:
            reason = "this source has sent another body under this id; the first one stands"
            results.append(IngestResult(event.event_id, "conflict", reason))
    return results
