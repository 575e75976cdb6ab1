"""Who works on an operation, and until when, by the database's clock: claiming, renewing, taking over."""

from datetime import datetime, timedelta
from uuid import uuid4

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from controlplane.operations import locks, states
from controlplane.operations.events import events_append
from controlplane.operations.hosts import owner_name
from controlplane.operations.models import Operation
from controlplane.operations.queue import queue_claimable, slots_free
from controlplane.operations.subject import operation_subject
from controlplane.operations.trail import operation_requeued

#: How often one attempt of a person is taken over from dead workers and runners before it is called failed.
MAX_TAKEOVERS = 3


@transaction.atomic
def operation_claim(*, worker: str, now: datetime) -> Operation | None:
    """Takes the next operation whose stack is free, if a slot is. None when there is nothing to do."""
    locks.claim_lock()
    if slots_free() == 0:
        return None
    candidate = queue_claimable().values_list("pk", flat=True).first()
    if candidate is None:
        return None
    token = uuid4()
    try:
        with transaction.atomic():
            moved = Operation.objects.filter(pk=candidate, state=states.QUEUED).update(
                state=states.PLANNING,
                started_at=now,
                finished_at=None,
                lease_token=token,
                lease_owner=owner_name(worker),
                lease_expires_at=lease_end(),
                error=None,
                progress_done=0,
                progress_total=0,
            )
    except IntegrityError:  # another claim won the stack: benign
        return None
    if moved != 1:
        return None
    operation = Operation.objects.get(pk=candidate)
    operation.spec = operation_subject().spec(operation=operation).model_dump(mode="json")
    operation.save(update_fields=["spec"])
    events_append(
        operation_id=operation.id,
        at=now,
        events=[("state", {"state": states.PLANNING, "attempt": operation.attempt})],
    )
    operation_subject().started(operation=operation, now=now)
    return operation


class LeaseLostError(Exception):
    """Another may hold the operation now: stop and write nothing more."""


def lease_end() -> CombinedExpression:
    """When a lease taken now runs out, by the database's clock: workers' clocks may differ."""
    return Now() + timedelta(seconds=settings.FREEHOLD_LEASE_S)


def lease_renew(*, operation: Operation) -> bool:
    """True while the lease is ours. False: another may hold the operation, stop at once."""
    return (
        Operation.objects.filter(
            pk=operation.pk, lease_token=operation.lease_token, state__in=states.RUNNING
        ).update(lease_expires_at=lease_end())
        == 1
    )


def lease_hold(*, operation: Operation) -> None:
    """Holds the operation's row until the transaction ends, so that nobody can take it over meanwhile. Raises
    LeaseLostError when somebody has."""
    held = Operation.objects.select_for_update().filter(
        pk=operation.pk, lease_token=operation.lease_token, state__in=states.RUNNING
    )
    if not held.exists():
        raise LeaseLostError


def lease_seize(*, operation: Operation) -> bool:
    """Takes an expired lease over from its holder: from here on none of the holder's moves is accepted, and no
    other reaper settles the operation. False when the lease was renewed, or another seized it.

    The operation then carries the new token; `lease_owner` still names the one that was lost.
    """
    token = uuid4()
    seized = Operation.objects.filter(
        pk=operation.pk,
        state__in=states.RUNNING,
        lease_token=operation.lease_token,
        lease_expires_at__lt=Now(),
    ).update(lease_token=token, lease_expires_at=lease_end())
    if seized == 1:
        operation.lease_token = token
    return seized == 1


@transaction.atomic
def operation_take_over(
    *, operation: Operation, ended: int, fenced: bool, now: datetime, by: str = "system:reaper"
) -> bool:
    """Queues an operation again whose run can do nothing more, barred or dead; by the holder of its lease."""
    moved = Operation.objects.filter(
        pk=operation.pk, state__in=states.RUNNING, lease_token=operation.lease_token
    ).update(
        state=states.QUEUED,
        attempt=F("attempt") + 1,
        takeovers=F("takeovers") + 1,
        queued_at=now,
        lease_token=None,
        lease_expires_at=None,
    )
    if moved != 1:
        return False
    owner = operation.lease_owner
    operation.steps.update(state=states.STEP_PENDING, started_at=None, finished_at=None, detail="")
    operation_requeued(operation, by, "taken_over", now, lost=owner, processes_ended=ended, fenced=fenced)
    return True
