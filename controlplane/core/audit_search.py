"""Finding audit events of a team. Reads only; whoever asks decides who may."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from controlplane.core.models import AuditEvent

#: Rows of an export that are read at once.
CHUNK: Final = 1000


@dataclass(frozen=True)
class AuditFilter:
    """`actor` and `action` are parts of what is looked for; `until` is excluded."""

    actor: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None


def audit_search(*, team_id: UUID, wanted: AuditFilter, about: Q | None = None) -> QuerySet[AuditEvent]:
    """The newest first. `about` narrows it to what whoever asks calls a subject."""
    found = AuditEvent.objects.filter(team_id=team_id)
    if wanted.actor:
        found = found.filter(actor__icontains=wanted.actor)
    if wanted.action:
        found = found.filter(action__icontains=wanted.action)
    if wanted.since is not None:
        found = found.filter(at__gte=wanted.since)
    if wanted.until is not None:
        found = found.filter(at__lt=wanted.until)
    if about is not None:
        found = found.filter(about)
    return found.order_by("-sequence")


def audit_chunks(found: QuerySet[AuditEvent], *, at_most: int) -> Iterator[list[AuditEvent]]:
    """`found` a chunk at a time, by sequence: rows that are added meanwhile shift nothing."""
    before: int | None = None
    left = at_most
    while left > 0:
        rest = found if before is None else found.filter(sequence__lt=before)
        rows = list(rest[: min(CHUNK, left)])
        if not rows:
            return
        yield rows
        before, left = rows[-1].sequence, left - len(rows)
