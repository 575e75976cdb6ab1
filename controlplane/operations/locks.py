"""Every lock of this room, in the order it may be taken: the claim lock, then operation rows, then the audit head."""

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
