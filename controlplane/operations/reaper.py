"""Stuck is a designed state: an operation whose executor is gone ends `failed`, with the reason in its timeline."""

from datetime import datetime, timedelta

from controlplane.operations import services, states
from controlplane.operations.models import Operation
from controlplane.operations.process import operation_processes_end, work_dir_remove
from controlplane.operations.record import stack_lock_suspect

#: At most so many are settled in one sweep, so that a sweep stays short.
MAX_REAPED = 10


def operations_reap(*, now: datetime) -> int:
    """Ends operations whose lease ran out: first their processes on this host, then the record. How many."""
    expired = Operation.objects.filter(
        state__in=states.RUNNING, lease_expires_at__lt=now - timedelta(seconds=states.LEASE_GRACE_S)
    ).order_by("lease_expires_at")[:MAX_REAPED]
    reaped = 0
    for operation in expired:
        operation_processes_end(operation.id)
        work_dir_remove(operation.id)
        stack_lock_suspect(operation)
        error = {
            "code": "executor_lost",
            "title": "The worker that ran this operation is gone",
            "detail": f"{operation.lease_owner} did not renew its lease; what was left of its processes was ended.",
            "hint": "Retry: Pulumi goes on from the state it saved.",
            "resource": None,
        }
        reaped += services.operation_fail(operation=operation, error=error, now=now)
    return reaped
