"""Operations that an overview shows: what waits for a person's word, and what is under way. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import F, QuerySet

from controlplane.accounts.access import Principal
from controlplane.operations import states
from controlplane.operations.models import Operation

#: Of each kind; a list of more is the page of operations.
SHOWN: Final = 20
_FIELDS: Final = (
    "pk",
    "kind",
    "state",
    "requested_by",
    "approval_reason",
    "progress_done",
    "progress_total",
    "created_at",
    "started_at",
    "queued_at",
)


@dataclass(frozen=True)
class OpenOperation:
    pk: UUID
    kind: str
    state: str
    requested_by: str
    approval_reason: str
    progress_done: int
    progress_total: int
    created_at: datetime
    started_at: datetime | None
    #: When it came into the queue; one that waits for approval planned right after it.
    queued_at: datetime
    slug: str


def operations_open(*, principal: Principal) -> list[OpenOperation]:
    """Those that await approval, the longest wait first, then those under way: at most SHOWN of either."""
    visible = Operation.objects.filter(tenant__team_id=principal.team_id)
    if principal.tenant_ids is not None:
        visible = visible.filter(tenant_id__in=principal.tenant_ids)
    waiting = _rows(visible.filter(state=states.AWAITING_APPROVAL).order_by("queued_at", "pk"))
    moving = _rows(visible.filter(state__in=states.RUNNING | {states.QUEUED}).order_by("queued_at", "pk"))
    return [OpenOperation(*row) for row in waiting.union(moving, all=True)]


def _rows(found: QuerySet[Operation]) -> QuerySet[Operation, tuple[Any, ...]]:
    return found.annotate(slug=F("tenant__slug")).values_list(*_FIELDS, "slug")[:SHOWN]
