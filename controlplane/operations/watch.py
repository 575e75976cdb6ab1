"""What an executor looks at while its runner works: the lease, a wish to cancel, and the deadline."""

import time
from typing import Literal

from django.conf import settings

from controlplane.operations import leases
from controlplane.operations.leases import LeaseLostError
from controlplane.operations.models import Operation
from controlplane.operations.process import INTERRUPT_GRACE_S, RunnerProcess


class RunWatch:
    """`stop_reason` says why the runner was told to stop, "" while it was not; `killed`, that it did not listen."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._deadline = time.monotonic() + settings.FREEHOLD_OPERATION_DEADLINE_S
        self._next_renewal = 0.0
        self._interrupted_at: float | None = None
        self.stop_reason: Literal["", "cancel", "deadline"] = ""
        self.killed = False

    def look(self, runner: RunnerProcess) -> None:
        """Renews the lease; interrupts the runner once, and kills it when it outlives the grace time."""
        self.lease_keep()
        monotonic = time.monotonic()
        if self._interrupted_at is not None:
            if monotonic - self._interrupted_at > INTERRUPT_GRACE_S and not self.killed:
                self.killed = True
                runner.kill()
        elif self._operation.cancel_requested_at is not None:
            self._interrupt(runner, "cancel", monotonic)
        elif monotonic >= self._deadline:
            self._interrupt(runner, "deadline", monotonic)

    def lease_keep(self) -> None:
        """Renews the lease when it is time. LeaseLostError when another holds the operation now."""
        monotonic = time.monotonic()
        if monotonic < self._next_renewal:
            return
        self._next_renewal = monotonic + settings.FREEHOLD_LEASE_S / 5
        if not leases.lease_renew(operation=self._operation):
            raise LeaseLostError
        self._operation.refresh_from_db(fields=["cancel_requested_at"])

    def _interrupt(
        self, runner: RunnerProcess, reason: Literal["cancel", "deadline"], monotonic: float
    ) -> None:
        self._interrupted_at, self.stop_reason = monotonic, reason
        runner.interrupt()
