"""The executor's part in work on data: which job a runner gets, what it leaves behind, and what is cleared away."""

import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import transaction

from contracts.snapshot import DataJob
from controlplane.operations.leases import lease_hold
from controlplane.operations.models import Operation
from controlplane.operations.process import operation_mark
from controlplane.operations.subject import operation_subject
from embedded.processes import processes_kill


def data_job_of(operation: Operation, lease_token: UUID) -> DataJob | None:
    """The work on data that belongs to the operation; None where none does.

    Its throw-away servers live in a folder that is the run's mark, so that whoever ends the run ends them too.
    """
    scratch = operation_mark(operation.id, lease_token)
    return operation_subject().data_job(operation=operation, scratch=scratch)


def snapshot_taken(*, operation: Operation, taken: Mapping[str, Any], now: datetime) -> None:
    """Stores that the snapshot is whole, under the lease. Raises LeaseLostError."""
    with transaction.atomic():
        lease_hold(operation=operation)
        operation_subject().snapshot_taken(operation=operation, taken=taken, now=now)


def scratch_remove(operation: Operation, lease_token: UUID) -> None:
    """Ends the throw-away servers of a run that was killed, and removes their folder."""
    mark = operation_mark(operation.id, lease_token)
    processes_kill(mark)
    shutil.rmtree(Path(mark).parent, ignore_errors=True)
