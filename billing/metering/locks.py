"""Every row lock of metering. Order: an event's key, then rollup rows by (meter, bucket, dimensions); apart from
these, a tenant's span slots in the order of their numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection

from billing.metering.facts import RollupKey
from billing.metering.models import SpanSlot, UsageEventKey

Slot = tuple[str, int]


@dataclass(frozen=True)
class StoredKey:
    tenant_id: UUID
    source: str
    event_id: str
    received_at: datetime
    time: datetime


def span_slots_lock(*, tenant_id: UUID, slots: Sequence[Slot]) -> dict[Slot, int]:
    """Makes missing numbers, and locks all of the tenant's until the transaction ends."""
    SpanSlot.objects.bulk_create(
        [SpanSlot(tenant_id=tenant_id, meter=meter, slot=slot) for meter, slot in slots],
        ignore_conflicts=True,
    )
    rows = SpanSlot.objects.select_for_update().filter(tenant_id=tenant_id).order_by("id")
    return {(row.meter, row.slot): row.id for row in rows}


def usage_event_key_lock(*, tenant_id: UUID, source: str, event_id: str) -> StoredKey | None:
    """Makes corrections of one event wait for each other. None for an event that never came."""
    row = (
        UsageEventKey.objects.select_for_update()
        .filter(tenant_id=tenant_id, source=source, event_id=event_id)
        .first()
    )
    return None if row is None else StoredKey(tenant_id, source, event_id, row.received_at, row.time)


def rollup_lock(*, tenant_id: UUID, key: RollupKey) -> None:
    """Whoever adds to this row waits until the transaction ends; a row that is missing is made, at zero."""
    meter, bucket, dimensions = key
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO billing_usagerollup AS r (tenant_id, meter, bucket, dimensions, value)
            VALUES (%s, %s, to_timestamp(%s), %s::jsonb, 0)
            ON CONFLICT (tenant_id, meter, bucket, dimensions) DO UPDATE SET value = r.value
            """,
            [tenant_id, meter, bucket, dimensions],
        )
