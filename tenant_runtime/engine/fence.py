"""The fence around an executing run: what is written for it is written under its lease's token, or not at all.

Every write on behalf of a run (ledger, values, usage) calls `fence_hold` in its transaction, or goes through writing.py
(checkpoints, events), whose statement takes the same lock. A takeover raises the token by an UPDATE, which waits for
that lock. So a worker that lost its lease has either committed before the takeover, and the successor reads what it
wrote, or writes nothing.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.rows import DictRow

from tenant_runtime.errors import LeaseLost

_HOLD: Final = sql.SQL(
    "SELECT 1 AS held FROM runs WHERE run_id = %s AND status = 'running' AND lease_token = %s FOR {}"
)
_SHARED: Final = _HOLD.format(sql.SQL("SHARE"))
_ALONE: Final = _HOLD.format(sql.SQL("NO KEY UPDATE"))


@dataclass(frozen=True)
class Fence:
    """One claim of one run."""

    run_id: UUID
    token: int

    def lost(self) -> LeaseLost:
        return LeaseLost(f"run {self.run_id} was taken over, canceled or removed; this worker stops it")


_current: ContextVar[Fence | None] = ContextVar("tenant_runtime_fence", default=None)
_overdue: ContextVar[Callable[[], bool]] = ContextVar("tenant_runtime_fence_overdue", default=lambda: False)


def fence_current() -> Fence | None:
    """The fence of the run this task executes; None outside of runs, where a request writes for itself."""
    return _current.get()


def fence_enter(fence: Fence, *, overdue: Callable[[], bool] = lambda: False) -> None:
    """For the executor: binds the fence to the task that executes the run, and to the tasks it starts. `overdue` says
    by this machine's clock that the lease may have run out."""
    _current.set(fence)
    _overdue.set(overdue)


def fence_demand_fresh() -> None:
    """Raises LeaseLost where the lease may have run out. For what the database cannot refuse: a call outside."""
    fence = _current.get()
    if fence is not None and _overdue.get()():
        raise fence.lost()


async def fence_hold(
    conn: AsyncConnection[DictRow] | AsyncCursor[DictRow], fence: Fence, *, alone: bool = False
) -> None:
    """Inside the caller's transaction: nobody takes the run over until it ends. Raises LeaseLost when somebody has.

    Writers of one run share the lock. A transaction that also updates the run's row asks for `alone`: two that
    hold a shared lock and then both want to update would wait for each other.
    """
    cursor = await conn.execute(_ALONE if alone else _SHARED, [fence.run_id, fence.token])
    if await cursor.fetchone() is None:
        raise fence.lost()
