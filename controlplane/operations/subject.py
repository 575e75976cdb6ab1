"""What an operation calls on the thing it changes.

Operations must not know tenants' lifecycles (design.md section 2), so the tenants app supplies this port;
settings.OPERATION_SUBJECT names the implementation.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol, cast

from django.conf import settings
from django.utils.module_loading import import_string

from contracts.snapshot import DataJob
from contracts.stack import StackSecrets, StackSpec
from controlplane.operations.models import Operation


@dataclass(frozen=True)
class Verification:
    """The answer of a look from outside after an apply."""

    ok: bool
    detail: str
    hint: str = ""
    code: str = "verification_failed"


class OperationSubject(Protocol):
    """`started`, `applying` and `finished` run inside the transaction of the operation's own transition."""

    def spec(self, *, operation: Operation) -> StackSpec:
        """The stack as it should be now; asked for at each claim, so that no attempt applies an outdated wish."""
        ...

    def secrets(self, *, operation: Operation) -> StackSecrets: ...

    def started(self, *, operation: Operation, now: datetime) -> None: ...

    def applying(self, *, operation: Operation, now: datetime) -> None: ...

    def finished(self, *, operation: Operation, now: datetime) -> None: ...

    def retry_check(self, *, operation: Operation) -> None:
        """Raises what the original request would raise now, such as for a tenant protected since."""
        ...

    def data_job(self, *, operation: Operation, scratch: str) -> DataJob | None:
        """The work on the thing's data that belongs to the operation; None where none does. `scratch` is a folder
        that only this run uses. Raises FreeholdError when it cannot be done any more."""
        ...

    def snapshot_taken(self, *, operation: Operation, taken: Mapping[str, Any], now: datetime) -> None:
        """Notes that the operation's snapshot is whole: {snapshot, manifest, manifest_sha256, bytes}."""
        ...

    def verify(self, *, operation: Operation, alive: Callable[[], None]) -> Verification:
        """Looks from outside. Calls `alive` at least every few seconds while it waits: it keeps the lease."""
        ...


@cache
def operation_subject() -> OperationSubject:
    return cast(OperationSubject, import_string(settings.OPERATION_SUBJECT)())
