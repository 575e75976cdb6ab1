"""Wakes whoever waits for a run: at once inside this process, by LISTEN/NOTIFY from the others.

The same dedicated connection holds this process's advisory lock. Replicas of a version without leases take it as
the sign that the process lives; ours go by leases.
"""

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
        self._following: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._ready = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def alive(self) -> bool:
        """Whether messages arrive now; without them no run is claimed."""
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
        """Wakes everybody of this process who waits for a run or follows its events."""
        for waiters in (self._waiting, self._following):
            for event in waiters.get(str(run_id), ()):
                event.set()

    def wake_followers(self, run_id: object) -> None:
        """Wakes those of this process who follow its events: there are new ones, and nothing else has happened."""
        for event in self._following.get(str(run_id), ()):
            event.set()

    def followed(self, run_id: object) -> bool:
        """Whether somebody in this process follows its events now."""
        return str(run_id) in self._following

    def waiting(self, run_id: object) -> AbstractContextManager[asyncio.Event]:
        """An event set when something has happened to the run itself. Subscribe first, then look at the rows."""
        return _subscribed(self._waiting, str(run_id))

    def following(self, run_id: object) -> AbstractContextManager[asyncio.Event]:
        """As `waiting`, and set for each batch of the run's events too."""
        return _subscribed(self._following, str(run_id))

    def _wake_all(self) -> None:
        for waiters in (self._waiting, self._following):
            for events in list(waiters.values()):
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
        elif kind == "events":
            self.wake_followers(run_id)
        elif kind == "cancel":
            self.on_cancel(run_id)
        elif kind == "work":
            self.on_work()


@contextmanager
def _subscribed(waiters: dict[str, set[asyncio.Event]], key: str) -> Iterator[asyncio.Event]:
    event = asyncio.Event()
    waiters[key].add(event)
    try:
        yield event
    finally:
        waiters[key].discard(event)
        if not waiters[key]:
            del waiters[key]
