"""The queue: who goes next, what holds the others back, and when waiting ends.

Order: a smaller rank first. The rank is the moment of queueing plus one minute for each point of priority, so a person
(10) goes before a rollout (20) and a drift scan (40) that were queued within the last minutes, and nothing starves:
a drift scan waits half an hour at most behind people who never stop asking. What was taken over from a dead worker
has the rank of the highest priority: its stack is half changed.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import (
    Case,
    Count,
    DateTimeField,
    DurationField,
    Exists,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    QuerySet,
    Value,
    When,
)

from controlplane.operations import states
from controlplane.operations.events import events_append
from controlplane.operations.models import Operation
from controlplane.operations.subject import operation_subject
from controlplane.operations.trail import trail_audit
from controlplane.operations.transitions import steps_end

CLASS_MINUTE = timedelta(minutes=1)


def queue_ranked() -> QuerySet[Operation]:
    """Queued operations in the order in which they will be claimed."""
    points = Case(When(takeovers__gt=0, then=Value(0)), default=F("priority"), output_field=IntegerField())
    delay = ExpressionWrapper(points * Value(CLASS_MINUTE, DurationField()), output_field=DurationField())
    rank = ExpressionWrapper(F("queued_at") + delay, output_field=DateTimeField())
    return (
        Operation.objects.filter(state=states.QUEUED).annotate(rank=rank).order_by("rank", "queued_at", "id")
    )


def queue_claimable() -> QuerySet[Operation]:
    """Of the queue, what no other operation of its stack and no limit of its target holds back."""
    running = Operation.objects.filter(state__in=states.RUNNING)
    busy = running.filter(tenant_id=OuterRef("tenant_id"))
    return queue_ranked().filter(~Exists(busy)).exclude(tenant__target__in=targets_full())


def slots_free() -> int:
    running = Operation.objects.filter(state__in=states.RUNNING).count()
    return max(0, int(settings.FREEHOLD_MAX_OPERATIONS) - running)


def targets_full() -> list[str]:
    """Targets on which as many operations run as FREEHOLD_TARGET_LIMITS allows."""
    limits: Mapping[str, int] = settings.FREEHOLD_TARGET_LIMITS
    if not limits:
        return []
    counted = (
        Operation.objects.filter(state__in=states.RUNNING)
        .values("tenant__target")
        .annotate(running=Count("id"))
        .values_list("tenant__target", "running")
    )
    return [target for target, running in counted if running >= limits.get(target, running + 1)]


def queue_position(operation: Operation) -> int:
    """1 is next. Counts everything that will be claimed before, were all of it free to go."""
    for position, identifier in enumerate(queue_ranked().values_list("id", flat=True), start=1):
        if identifier == operation.id:
            return position
    return 1


def waiting_for(operation: Operation) -> str:
    """What a queued operation waits for, in words."""
    running = Operation.objects.filter(state__in=states.RUNNING)
    holder = running.filter(tenant_id=operation.tenant_id).first()
    if holder is not None:
        return f"this tenant's {holder.kind} operation {holder.id}"
    target = operation.tenant.target
    if target in targets_full():
        limit = settings.FREEHOLD_TARGET_LIMITS[target]
        return f"a free slot on the target {target} ({limit} of {limit} are busy)"
    if slots_free() == 0:
        limit = settings.FREEHOLD_MAX_OPERATIONS
        return f"a free slot ({running.count()} of {limit} are busy)"
    return "a worker"


def queue_expire(*, now: datetime) -> int:
    """Ends operations that nobody could begin in FREEHOLD_QUEUE_DEADLINE_S, and says what they waited for. How many."""
    limit = now - timedelta(seconds=settings.FREEHOLD_QUEUE_DEADLINE_S)
    overdue = Operation.objects.filter(state=states.QUEUED, queued_at__lte=limit).select_related("tenant")
    return sum(_expire(operation, now) for operation in overdue)


@transaction.atomic
def _expire(operation: Operation, now: datetime) -> bool:
    error = {
        "code": "queue_deadline",
        "title": "The operation waited too long to begin",
        "detail": f"It was queued for more than {settings.FREEHOLD_QUEUE_DEADLINE_S} s and waited for "
        f"{waiting_for(operation)}.",
        "hint": "See what holds the queue up (`freehold operations list`), then retry.",
        "resource": None,
    }
    moved = Operation.objects.filter(
        pk=operation.pk, state=states.QUEUED, queued_at=operation.queued_at
    ).update(state=states.FAILED, finished_at=now, error=error)
    if moved != 1:
        return False
    operation.refresh_from_db()
    steps_end(operation, states.STEP_SKIPPED, str(error["title"]), now)
    data = {"state": states.FAILED, "by": "system:queue", "error": error}
    events_append(operation_id=operation.id, at=now, events=[("state", data)])
    operation_subject().finished(operation=operation, now=now)
    trail_audit(operation, "system:queue", "expired", now)
    return True
