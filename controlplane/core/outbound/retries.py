"""When a message is tried again. Pure.

The pauses grow to ten hours, a little more than a day in all. Each is stretched by up to a fifth, so that what failed
together does not come back together.
"""

from datetime import timedelta
from typing import Final

PAUSES: Final = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=10),
)
#: The first try and one after each pause.
MOST_ATTEMPTS: Final = len(PAUSES) + 1
_JITTER: Final = 0.2


def pause_after(attempts: int, *, roll: float) -> timedelta | None:
    """How long to wait after so many failed attempts; None: no more. `roll` is random, from 0 to 1."""
    if attempts >= MOST_ATTEMPTS:
        return None
    return PAUSES[attempts - 1] * (1 + _JITTER * roll)
