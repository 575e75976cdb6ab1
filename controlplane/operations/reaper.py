"""Stuck is a designed state: an operation whose executor is gone is taken over, or ends with the reason told.

Takeover, in this order, each step of which may be repeated by another reaper if this one dies:
1. seize the expired lease: no move of the old holder is accepted any more;
2. bar the run's role in the state database and end its connections: an old CLI that wakes up writes nothing;
3. end the run's processes (paused ones too: SIGKILL needs no cooperation);
4. note that a backend lock and unfinished steps may remain, and queue the operation again.
The next run clears the lock, settles what was half done (settling.py), and goes on from the state that was saved.
"""

from datetime import datetime
from uuid import UUID

import structlog
from django.db.models.functions import Now

from controlplane.operations import leases, states, transitions
from controlplane.operations.fence import fence_bar, fences_sweep
from controlplane.operations.hosts import seen_from_here
from controlplane.operations.models import Operation
from controlplane.operations.process import operation_mark, work_dir_remove
from controlplane.operations.record import stack_lock_suspect
from embedded.processes import processes_kill

log = structlog.get_logger()

#: At most so many are settled in one sweep, so that a sweep stays short.
MAX_REAPED = 10
#: Targets whose resources live on the worker's own host: only there can they be changed, so only there taken over.
HOST_BOUND_TARGETS = frozenset({"local"})


def operations_reap(*, now: datetime) -> int:
    """Settles operations whose lease ran out, by the database's clock. How many."""
    expired = Operation.objects.filter(state__in=states.RUNNING, lease_expires_at__lt=Now())
    return sum(_settle(operation, now) for operation in expired.order_by("lease_expires_at")[:MAX_REAPED])


def fences_tidy() -> int:
    """Removes state-database roles that no running operation holds. How many."""
    return fences_sweep(current=_leases_held)


def _leases_held() -> set[tuple[UUID, UUID]]:
    current = Operation.objects.filter(state__in=states.RUNNING, lease_token__isnull=False)
    return {(each.id, each.lease_token) for each in current.only("id", "lease_token") if each.lease_token}


def _settle(operation: Operation, now: datetime) -> bool:
    if not leases.lease_seize(operation=operation):
        return False  # renewed since this sweep read it, or another reaper has it
    fenced = fence_bar(operation_id=operation.id)
    here = seen_from_here(operation.lease_owner)
    ended = processes_kill(operation_mark(operation.id)) if here else 0
    if not here and (not fenced or operation.spec["target"] in HOST_BOUND_TARGETS):
        # Unseen and not held off by the state database, or bound to its host: a second writer could do harm.
        return transitions.operation_fail(operation=operation, error=_elsewhere(operation), now=now)
    work_dir_remove(operation.id)
    stack_lock_suspect(operation)
    if operation.cancel_requested_at is not None:
        return transitions.operation_canceled(operation=operation, now=now)
    if operation.takeovers >= leases.MAX_TAKEOVERS:
        return transitions.operation_fail(operation=operation, error=_given_up(operation), now=now)
    taken = leases.operation_take_over(operation=operation, ended=ended, fenced=fenced, now=now)
    if taken:
        log.warning(
            "operation.taken_over",
            operation=str(operation.id),
            lost=operation.lease_owner,
            ended=ended,
            fenced=fenced,
        )
    return taken


def _elsewhere(operation: Operation) -> dict[str, object]:
    host = operation.lease_owner.rpartition("@")[2].partition("/")[0]
    return {
        "code": "executor_lost",
        "title": "The worker that ran this operation is gone",
        "detail": f"{operation.lease_owner} stopped renewing its lease, and nobody here can see what runs on {host}.",
        "hint": f"Make sure on {host} that no runner of operation {operation.id} is alive, then retry.",
        "resource": None,
    }


def _given_up(operation: Operation) -> dict[str, object]:
    return {
        "code": "executor_lost",
        "title": "The workers that ran this operation died, again and again",
        "detail": f"It was taken over {operation.takeovers} times; the last worker was {operation.lease_owner}.",
        "hint": "Look for what kills them (memory, disk: `freehold doctor`), then retry. The last good state is kept.",
        "resource": None,
    }
