"""Spans: how long billable resources existed, as the operations that made and removed them reported it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection, transaction

from billing.metering.catalogue import METERS
from billing.metering.events import canonical_json
from billing.metering.locks import span_slots_lock
from contracts.stack import BillableResource, Meter
from controlplane.core.errors import ValidationFailed
from controlplane.core.ids import uuid7


@dataclass(frozen=True)
class SpanChanges:
    """How many spans a call opened and closed; (0, 0) when nothing had changed."""

    opened: int
    closed: int


@dataclass(frozen=True)
class _OpenSpan:
    id: UUID
    slot: tuple[str, int]
    what: tuple[str, str]


def spans_reconcile(
    *,
    tenant_id: UUID,
    resources: Sequence[BillableResource],
    at: datetime,
    operation_id: UUID,
    ended: Mapping[Meter, datetime] | None = None,
) -> SpanChanges:
    """Makes the open spans those of `resources`, which are all that exist of this tenant at `at`.

    1. Locks the tenant's slots. 2. Closes open spans whose resource is gone or has been replaced in its slot.
    3. Opens one for each resource that has none. Doing it again changes nothing. A span never ends before it
    began nor begins before the last one of its slot ended, even if `at` is behind (clocks of two workers).
    A span begins at its resource's `since` and ends at its meter's `ended` where these are known and not after
    `at`: an operation may be recorded, or taken over, long after the thing itself came or went.
    """
    wanted = _by_slot(resources)
    begun: dict[tuple[str, int], datetime] = {
        (r.meter, r.slot): min(r.since, at) for r in resources if r.since is not None
    }
    gone: dict[str, datetime] = {meter: min(moment, at) for meter, moment in (ended or {}).items()}
    with transaction.atomic():
        numbers = span_slots_lock(tenant_id=tenant_id, slots=sorted(wanted))
        existing = _open_spans(tenant_id)
        stale = [span for span in existing if wanted.get(span.slot) != span.what]
        covered = {span.slot for span in existing if wanted.get(span.slot) == span.what}
        for span in stale:
            _close(span.id, gone.get(span.slot[0], at), operation_id, at)
        missing = [slot for slot in sorted(wanted) if slot not in covered]
        for slot in missing:
            _open(numbers[slot], wanted[slot], begun.get(slot, at), operation_id, at)
    return SpanChanges(opened=len(missing), closed=len(stale))


def spans_close_all(*, tenant_id: UUID, at: datetime, operation_id: UUID) -> int:
    """The tenant is gone: closes every open span, and sets its gauges to zero, as nobody reports them now.

    Returns how many spans it closed.
    """
    with transaction.atomic():
        changes = spans_reconcile(tenant_id=tenant_id, resources=(), at=at, operation_id=operation_id)
        _gauges_zero(tenant_id, at, operation_id)
    return changes.closed


def _by_slot(resources: Sequence[BillableResource]) -> dict[tuple[str, int], tuple[str, str]]:
    wanted: dict[tuple[str, int], tuple[str, str]] = {}
    for index, resource in enumerate(resources):
        slot = (resource.meter, resource.slot)
        if slot in wanted:
            problem = f"slot {resource.slot} of {resource.meter} is taken by another resource of the list"
            raise ValidationFailed.of(f"/resources/{index}/slot", problem)
        wanted[slot] = (resource.resource, canonical_json(resource.dimensions))
    return wanted


def _open_spans(tenant_id: UUID) -> list[_OpenSpan]:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT s.id, n.meter, n.slot, s.resource, s.dimensions::text
            FROM billing_resourcespan s JOIN billing_spanslot n ON n.id = s.span_slot_id
            WHERE n.tenant_id = %s AND upper_inf(s.span)
            """,
            [tenant_id],
        )
        return [
            _OpenSpan(row[0], (row[1], row[2]), (row[3], canonical_json(json.loads(row[4]))))
            for row in cursor.fetchall()
        ]


def _close(span_id: UUID, at: datetime, operation_id: UUID, recorded_at: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE billing_resourcespan
            SET span = tstzrange(lower(span), greatest(lower(span), %s)), closed_by = %s, closed_recorded_at = %s
            WHERE id = %s AND upper_inf(span)
            """,
            [at, operation_id, recorded_at, span_id],
        )


def _open(
    number: int, what: tuple[str, str], at: datetime, operation_id: UUID, recorded_at: datetime
) -> None:
    resource, dimensions = what
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_resourcespan
                (id, span_slot_id, resource, dimensions, span, opened_by, opened_recorded_at)
            SELECT %s, %s, %s, %s::jsonb, tstzrange(greatest(%s, max(upper(span))), NULL), %s, %s
            FROM billing_resourcespan WHERE span_slot_id = %s
            """,
            [uuid7(), number, resource, dimensions, at, operation_id, recorded_at, number],
        )


def _gauges_zero(tenant_id: UUID, at: datetime, operation_id: UUID) -> None:
    """Only where the gauge does not read zero already, so that doing it again adds nothing."""
    gauges = [meter.key for meter in METERS.values() if meter.aggregation == "time_weighted"]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_gaugesample
                (tenant_id, meter, component, time, source, event_id, value, received_at)
            SELECT %(tenant)s, meter, component, greatest(time + interval '1 microsecond', %(at)s),
                   '/control-plane', %(operation)s, %(zero)s, %(at)s
            FROM (
                SELECT DISTINCT ON (meter, component) meter, component, time, value
                FROM billing_gaugesample
                WHERE tenant_id = %(tenant)s AND meter = ANY(%(gauges)s) AND voided_at IS NULL
                ORDER BY meter, component, time DESC, source COLLATE "C" DESC, event_id COLLATE "C" DESC
            ) AS latest
            WHERE value <> 0
            """,
            {
                "tenant": tenant_id,
                "at": at,
                "operation": str(operation_id),
                "zero": Decimal(0),
                "gauges": gauges,
            },
        )
