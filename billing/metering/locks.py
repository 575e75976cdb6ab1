"""Every row lock of metering: a tenant's span slots, in the order of their numbers."""

from collections.abc import Sequence
from uuid import UUID

from billing.metering.models import SpanSlot

Slot = tuple[str, int]


def span_slots_lock(*, tenant_id: UUID, slots: Sequence[Slot]) -> dict[Slot, int]:
    """Makes missing numbers, and locks all of the tenant's until the transaction ends."""
    SpanSlot.objects.bulk_create(
        [SpanSlot(tenant_id=tenant_id, meter=meter, slot=slot) for meter, slot in slots],
        ignore_conflicts=True,
    )
    rows = SpanSlot.objects.select_for_update().filter(tenant_id=tenant_id).order_by("id")
    return {(row.meter, row.slot): row.id for row in rows}
