"""Bugs planted on purpose into a worker, to see that the crash suite finds each."""

from collections.abc import Callable
from typing import Any


def _no_fence() -> None:
    """Takeover leaves the old run's way to the state open."""
    from controlplane.operations import reaper

    reaper.fence_bar = lambda *, operation_id: False
    reaper.fences_tidy = lambda: 0
    from controlplane.operations import tasks

    tasks.fences_tidy = lambda: 0


def _no_process_end() -> None:
    """Not a bug but a case: a run that nobody can reach, as on a host that hangs."""
    from controlplane.operations import reaper

    reaper.processes_kill = lambda mark: 0


def _job_without(field: str) -> None:
    from controlplane.operations import executor

    original = executor._Execution._job

    def job(self: Any) -> Any:
        return original(self).model_copy(update={field: False})

    executor._Execution._job = job  # type: ignore[method-assign]


def _no_lock_clearing() -> None:
    _job_without("clear_lock")


def _no_settling() -> None:
    _job_without("settle_pending")


def _status_before_commit() -> None:
    """The operation is called done before what it made is recorded."""
    from controlplane.core import clock
    from controlplane.operations import executor, transitions

    original = executor._Execution._settle

    def settle(self: Any) -> None:
        transitions.operation_succeed(operation=self.operation, now=clock.now())
        original(self)

    executor._Execution._settle = settle  # type: ignore[method-assign]


def _no_seizing() -> None:
    """Takeover does not take the lease away first, and the run's processes live on."""
    from controlplane.operations import leases

    leases.lease_seize = lambda *, operation: leases.Operation.objects.filter(
        pk=operation.pk, lease_expires_at__lt=leases.Now()
    ).exists()
    _no_process_end()
    _no_fence()


PLANTS: dict[str, Callable[[], None]] = {
    "no_fence": _no_fence,
    "no_lock_clearing": _no_lock_clearing,
    "no_settling": _no_settling,
    "status_before_commit": _status_before_commit,
    "no_process_end": _no_process_end,
    "no_process_end+no_fence": lambda: (_no_process_end(), _no_fence())[0],
}


def plant(name: str) -> None:
    PLANTS[name]()
