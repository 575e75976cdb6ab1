"""Every lock of this room, in the order of taking: the claim lock, operation rows, their steps, the audit head."""

from uuid import UUID

from django.db import connection

from controlplane.operations.models import Operation

_CLAIM_LOCK = 0x46_52_45_45_48_4F_4C_44  # "FREEHOLD"


def claim_lock() -> None:
    """One claim at a time, until the transaction ends: the global limit is counted and used under it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_CLAIM_LOCK])


def operation_lock(operation_id: UUID) -> Operation:
    return Operation.objects.select_for_update().get(pk=operation_id)


def operation_lock_for_events(operation_id: UUID) -> None:
    """One writer of the timeline at a time, until the transaction ends. Ids are given out before the commit: were a
    later id to be seen first, whoever follows by a cursor would pass the earlier one by, for ever."""
    list(Operation.objects.select_for_update(no_key=True).filter(pk=operation_id).values_list("pk"))
