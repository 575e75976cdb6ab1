"""The fence around an executing run: what is written for it is written under its lease's token, or not at all.

Every write on behalf of a run (checkpoints, ledger, events, values, usage) calls `fence_hold` in its transaction, or
is one statement that begins with HELD. A takeover raises the token by an UPDATE, which waits for the lock that either
takes. So a worker that lost its lease has either committed before the takeover, and the successor reads what it wrote,
or writes nothing.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from psycopg import AsyncConnection, AsyncCursor, sql
from psycopg.rows import DictRow

from tenant_runtime.errors import LeaseLost

#: The beginning of a statement that is carried out under the fence, or not at all: what it writes is selected FROM
#: held, and so is its answer. It takes Fence.values().
HELD: Final = """held AS (
    SELECT 1 FROM runs WHERE run_id = %(fence_run)s AND status = 'running' AND lease_token = %(fence_token)s
    FOR SHARE)"""
#: The same for a statement that a request makes for itself.
UNFENCED: Final = "held AS (SELECT 1)"

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

    def values(self) -> dict[str, Any]:
        return {"fence_run": self.run_id, "fence_token": self.token}

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
