"""Back-pressure: how much a process stores at once, and how long a request waits for its turn.

A queue without an end answers nobody in time. So a request that cannot begin soon is told to come again, which loses
nothing: events are counted once, however often they are sent.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from controlplane.core.errors import RetryLater


class Gate:
    """Lets `at_once` through; at most `waiting` more wait, each for at most `wait_s`."""

    def __init__(self, *, at_once: int, waiting: int, wait_s: float) -> None:
        self._free = threading.Semaphore(at_once)
        self._places = threading.Semaphore(at_once + waiting)
        self._wait_s = wait_s

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Raises RetryLater (503, `ingest_busy`) where the turn does not come in time."""
        if not self._places.acquire(blocking=False):
            raise self._busy()
        try:
            if not self._free.acquire(timeout=self._wait_s):
                raise self._busy()
            try:
                yield
            finally:
                self._free.release()
        finally:
            self._places.release()

    def _busy(self) -> RetryLater:
        return RetryLater(
            "More usage events come in than can be stored at the moment.",
            code="ingest_busy",
            hint="Send the same events again after Retry-After seconds; none is counted twice.",
        )


#: Waiting requests hold a thread and their body, so there are few of them.
_WAITING_EACH = 8
ingest_gate = Gate(
    at_once=settings.FREEHOLD_INGEST_CONCURRENCY,
    waiting=_WAITING_EACH * settings.FREEHOLD_INGEST_CONCURRENCY,
    wait_s=settings.FREEHOLD_INGEST_WAIT_S,
)
