"""The event store: the timeline of an operation, and the bell that wakes its watchers."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from controlplane.core.redaction import own_redactor
from controlplane.operations.locks import operation_lock_for_events
from controlplane.operations.models import OperationEvent

#: The Postgres channel; the payload is the operation's id.
CHANNEL = "operation_events"


@transaction.atomic
def events_append(
    *, operation_id: UUID, at: datetime, events: Iterable[tuple[str, Mapping[str, Any]]]
) -> None:
    """Stores events in order and, at commit, wakes whoever watches the operation."""
    redact = own_redactor().value
    rows = [
        OperationEvent(operation_id=operation_id, at=at, type=type, data=redact(dict(data)))
        for type, data in events
    ]
    if not rows:
        return
    operation_lock_for_events(operation_id)
    OperationEvent.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, str(operation_id)])
