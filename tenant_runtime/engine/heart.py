"""The heartbeat of a worker's leases, in a thread of its own: an agent that blocks the event loop keeps its run.

A loop that answers nothing for BLOCKED_S seconds is taken for dead, and so are its runs: another worker has them once
their leases have run out. A process that is stopped or killed has no heartbeat either way.
"""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, Protocol
from uuid import UUID

from psycopg import Error

from tenant_runtime.engine.attempts import Held
from tenant_runtime.engine.leases import HEARTBEAT_S, Renewal
from tenant_runtime.engine.states import CancelAction
from tenant_runtime.errors import DatabaseUnready

log = logging.getLogger(__name__)

#: Longer than any honest node computes without giving the loop a turn.
BLOCKED_S: Final = 30.0
_STOP_S: Final = 5.0
Kept = dict[UUID, CancelAction | None]


class Beaten(Protocol):
    """The executor, as the heart sees it."""

    def held(self) -> list[Held]: ...

    def beaten(self, held: list[Held], kept: Kept | None, *, asked: float) -> None: ...


class Heart:
    """`renewal` opens, on the thread's own loop, what renews leases."""

    def __init__(
        self,
        executor: Beaten,
        renewal: Callable[[], AbstractAsyncContextManager[Renewal]],
        *,
        blocked_s: float = BLOCKED_S,
    ) -> None:
        self._executor, self._renewal, self._blocked_s = executor, renewal, blocked_s
        self._loop = asyncio.get_running_loop()
        self._answered = time.monotonic()
        self._stopping = threading.Event()

    def beat(self) -> None:
        """The thread: until stopped."""
        asyncio.run(self._beat())

    def stop(self) -> None:
        self._stopping.set()

    async def _beat(self) -> None:
        while not self._over():
            try:
                async with self._renewal() as renewal:
                    while not self._over():
                        await asyncio.sleep(HEARTBEAT_S)
                        await self._once(renewal)
            except DatabaseUnready:
                log.warning("the heartbeat has no connection, the database does not answer")
            except Exception:
                # A thread that ended here would let every run of this process go to another.
                if not self._over():
                    log.exception("heartbeat surprised, it begins anew")

    def _over(self) -> bool:
        """Stopped, or the loop it beats for has ended."""
        return self._stopping.is_set() or self._loop.is_closed()

    async def _once(self, renewal: Renewal) -> None:
        self._loop.call_soon_threadsafe(self._answer)
        if not (held := self._executor.held()):
            return
        silent_s = time.monotonic() - self._answered
        if silent_s > self._blocked_s:
            log.error(
                "the event loop is blocked, its runs go to other workers", extra={"silent_s": round(silent_s)}
            )
            return
        asked = time.monotonic()
        kept: Kept | None = None
        try:
            kept = await renewal.renew([item.fence for item in held])
        except (Error, OSError):
            log.warning("leases could not be kept, the database does not answer")
        self._loop.call_soon_threadsafe(lambda: self._executor.beaten(held, kept, asked=asked))

    def _answer(self) -> None:
        self._answered = time.monotonic()


@asynccontextmanager
async def heart_beating(heart: Heart) -> AsyncIterator[None]:
    thread = threading.Thread(target=heart.beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        heart.stop()
        await asyncio.to_thread(thread.join, _STOP_S)
