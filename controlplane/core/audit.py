"""Writing and verifying the audit chain."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from controlplane.core import locks
from controlplane.core.models import AuditEvent, AuditHead


@dataclass(frozen=True)
class ChainReport:
    """`broken_at` is the sequence of the first event that does not fit, or None."""

    checked: int
    broken_at: int | None


def audit_record(
    *,
    at: datetime,
    actor: str,
    action: str,
    subject_type: str,
    subject_id: str,
    team_id: UUID | None = None,
    data: Mapping[str, Any] | None = None,
) -> AuditEvent:
    """Appends one event. Must run inside the transaction of the change it records."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("audit_record needs the transaction of the change it records")
    head = locks.audit_head_lock()
    event = AuditEvent(
        sequence=head.sequence + 1,
        at=at,
        actor=actor,
        action=action,
        team_id=team_id,
        subject_type=subject_type,
        subject_id=subject_id,
        data=json.loads(json.dumps(dict(data or {}), cls=DjangoJSONEncoder)),
        previous_hash=head.hash,
    )
    event.hash = event_hash(event)
    event.save(force_insert=True)
    AuditHead.objects.filter(pk=head.pk).update(sequence=event.sequence, hash=event.hash)
    return event


def event_hash(event: AuditEvent) -> str:
    """SHA-256 over the canonical JSON of everything but the hash itself."""
    document = {
        "id": str(event.id),
        "sequence": event.sequence,
        "at": event.at.isoformat(),
        "actor": event.actor,
        "action": event.action,
        "team_id": str(event.team_id) if event.team_id else None,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "data": event.data,
        "previous_hash": event.previous_hash,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def audit_verify() -> ChainReport:
    """Walks the whole chain from the first event to the head."""
    previous, expected, checked = "0" * 64, 1, 0
    for event in AuditEvent.objects.order_by("sequence").iterator(chunk_size=500):
        if event.sequence != expected or event.previous_hash != previous or event.hash != event_hash(event):
            return ChainReport(checked=checked, broken_at=event.sequence)
        previous, expected, checked = event.hash, expected + 1, checked + 1
    head = AuditHead.objects.filter(pk=1).first()
    if head is not None and (head.sequence != checked or head.hash != previous):
        return ChainReport(checked=checked, broken_at=checked + 1)
    return ChainReport(checked=checked, broken_at=None)
