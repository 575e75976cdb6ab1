"""Progress for whoever waits: on stderr, so that stdout stays for data."""

import sys
import time

_started = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - _started:6.1f} s] {text}", file=sys.stderr, flush=True)
