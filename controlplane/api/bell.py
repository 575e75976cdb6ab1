"""One database listener per process: watchers of operations wait on it instead of polling.

The listener runs in its own thread with a plain connection, because viewers come and go on the event loop.
Missing a notification costs at most one heartbeat interval, since every watcher also looks by itself then.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from django.db import connection

from controlplane.operations.events import CHANNEL

log = structlog.get_logger()

_RECONNECT_S = 1.0


class Bell:
    """Wakes asyncio watchers when Postgres notifies about their operation."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = defaultdict(
            set
        )
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @asynccontextmanager
    async def watch(self, operation_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever the operation has news; the caller clears it."""
        watcher = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._watchers[operation_id].add(watcher)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._listen, name="event-bell", daemon=True)
                self._thread.start()
        try:
            yield watcher[1]
        finally:
            with self._lock:
                self._watchers[operation_id].discard(watcher)
                if not self._watchers[operation_id]:
                    del self._watchers[operation_id]

    def _listen(self) -> None:
        while True:
            try:
                with psycopg.connect(**_conninfo(), autocommit=True) as listener:
                    listener.execute(f"LISTEN {CHANNEL}")
                    self._ring_all()  # for what came before there was anybody to hear it
                    for notification in listener.notifies():
                        self._ring(notification.payload)
            except psycopg.Error as error:
                log.warning("bell.reconnect", error=type(error).__name__)
                time.sleep(_RECONNECT_S)

    def _ring_all(self) -> None:
        with self._lock:
            watched = list(self._watchers)
        for operation_id in watched:
            self._ring(operation_id)

    def _ring(self, operation_id: str) -> None:
        with self._lock:
            watchers = list(self._watchers.get(operation_id, ()))
        for loop, event in watchers:
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)


def _conninfo() -> dict[str, Any]:
    """Django's own database, which is not always the one of DATABASE_URL: tests have their own."""
    known = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    current = connection.settings_dict
    options = {key: value for key, value in current.get("OPTIONS", {}).items() if key != "pool"}
    return {**options, **{name: current[key] for key, name in known.items() if current.get(key)}}


bell = Bell()
