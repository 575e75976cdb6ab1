"""One `freehold up` at a time per home: two would start, migrate and provision the same things."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.cli.errors import CliError
from controlplane.cli.home import Home
from controlplane.cli.output import say

WAIT_S = 300.0


@contextmanager
def up_lock(home: Home, *, wait_s: float = WAIT_S) -> Iterator[None]:
    """Holds run/up.lock. The kernel drops it with the process, so a killed `up` leaves nothing to clear."""
    home.run.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(home.run / "up.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _taken(descriptor):
            say("Another freehold up is at work; waiting for it.")
            deadline = time.monotonic() + wait_s
            while not _taken(descriptor):
                if time.monotonic() >= deadline:
                    raise CliError(
                        f"Another freehold up was still at work after {wait_s:.0f} s.",
                        hint="See what it waits for with `freehold status`, or end it; then try again.",
                    )
                time.sleep(0.2)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
