"""Stuck is a designed state: an operation whose executor is gone is taken over, or ends with the reason told.

Takeover, in this order: prove the old run dead (its processes are ended, stopped ones too, since SIGKILL needs no
cooperation), note that its backend lock may remain, then queue the operation again. The next run clears the lock
before it plans, and Pulumi goes on from the state it saved; the local provider adopts what a dead run had created.
"""

import socket
from datetime import datetime

import structlog
from django.db.models.functions import Now

from controlplane.operations import leases, states, transitions
from controlplane.operations.models import Operation
from controlplane.operations.process import operation_mark, processes_end, work_dir_remove
from controlplane.operations.record import stack_lock_suspect

log = structlog.get_logger()

#: At most so many are settled in one sweep, so that a sweep stays short.
MAX_REAPED = 10
#: How often one attempt of a person may be taken over before it is called failed.
MAX_TAKEOVERS = 3


def operations_reap(*, now: datetime) -> int:
    """Settles operations whose lease ran out, by the database's clock. How many."""
    expired = Operation.objects.filter(state__in=states.RUNNING, lease_expires_at__lt=Now())
    return sum(_settle(operation, now) for operation in expired.order_by("lease_expires_at")[:MAX_REAPED])


def _settle(operation: Operation, now: datetime) -> bool:
    host = operation.lease_owner.rpartition("@")[2]
    if host != socket.gethostname():
        # Only a worker on that host can prove the run dead, and a living run must not get a second writer.
        return transitions.operation_fail(operation=operation, error=_elsewhere(operation, host), now=now)
    if not leases.lease_expired(operation=operation):
        return False  # renewed since this sweep read it: its run is alive and well
    ended = processes_end(operation_mark(operation.id))
    work_dir_remove(operation.id)
    stack_lock_suspect(operation)
    if operation.cancel_requested_at is not None:
        return transitions.operation_canceled(operation=operation, now=now)
    if operation.takeovers >= MAX_TAKEOVERS:
        return transitions.operation_fail(operation=operation, error=_given_up(operation), now=now)
    taken = leases.operation_take_over(operation=operation, ended=ended, now=now)
    if taken:
        log.warning(
            "operation.taken_over", operation=str(operation.id), from_=operation.lease_owner, ended=ended
        )
    return taken


def _elsewhere(operation: Operation, host: str) -> dict[str, object]:
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
