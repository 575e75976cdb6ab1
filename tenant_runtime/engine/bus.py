"""Wakes whoever waits for a run: at once inside this process, by LISTEN/NOTIFY from the others.

The same dedicated connection holds this process's advisory lock: while it is held, the process lives, and
the runs it claimed are its own. When the connection goes, Postgres releases the lock by itself.
"""

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from psycopg import AsyncConnection, Error, sql

from tenant_runtime.database import LOCK_PROCESS
from tenant_runtime.database_login import Login

log = logging.getLogger(__name__)

CHANNEL: Final = "freehold_runtime"
_RECONNECT_S: Final = 0.5


class Bus:
    """`on_cancel(run_id)` and `on_work()` are called for messages of other processes."""

    def __init__(self, login: Login) -> None:
        self.process_id = uuid.uuid4()
        self.process_lock = self.process_id.int & 0x7FFFFFFF
        self.on_cancel: Callable[[str], None] = lambda run_id: None
        self.on_work: Callable[[], None] = lambda: None
        self._login = login
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether this process holds its lock now; without it no run may be claimed."""
        return self._ready.is_set()

    async def open(self) -> None:
        """Returns when the lock is held and messages arrive."""
        self._task = asyncio.create_task(self._listen_for_ever(), name="bus")
        async with asyncio.timeout(10):
            await self._ready.wait()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def message(self, kind: str, run_id: object = "") -> str:
        """The payload for pg_notify; it names its sender, who has already told its own waiters."""
        return f"{self.process_lock}:{kind}:{run_id}"

    def wake(self, run_id: object) -> None:
        """Wakes this process's waiters of a run."""
        for event in self._waiting.get(str(run_id), ()):
            event.set()

    @contextmanager
    def waiting(self, run_id: object) -> Iterator[asyncio.Event]:
        """An event set whenever something happens to the run. Subscribe first, then look at the rows."""
        key, event = str(run_id), asyncio.Event()
        self._waiting[key].add(event)
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    def _wake_all(self) -> None:
        for events in list(self._waiting.values()):
            for event in events:
                event.set()

    async def _listen_for_ever(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (Error, OSError) as error:
                self._ready.clear()
                log.warning("bus connection lost", extra={"error": type(error).__name__})
                await asyncio.sleep(_RECONNECT_S)

    async def _listen_once(self) -> None:
        conn = await self._login.connect(
            AsyncConnection.connect, autocommit=True, connect_timeout=5, keepalives_idle=15
        )
        async with conn:
            await conn.execute("SELECT pg_advisory_lock(%s, %s)", [LOCK_PROCESS, self.process_lock])
            await conn.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
            self._ready.set()
            # Messages may have been missed while disconnected: everybody looks again.
            self._wake_all()
            self.on_work()
            async for notice in conn.notifies():
                self._receive(notice.payload)
        raise OSError("the listening connection ended")

    def _receive(self, payload: str) -> None:
        sender, _, rest = payload.partition(":")
        kind, _, run_id = rest.partition(":")
        if sender == str(self.process_lock):
            return
        if kind == "run":
            self.wake(run_id)
        elif kind == "cancel":
            self.on_cancel(run_id)
        elif kind == "work":
            self.on_work()
