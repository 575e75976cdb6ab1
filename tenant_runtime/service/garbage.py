"""How often a serving process looks for garbage in cycles."""

import gc
from typing import Final

#: New objects in containers before the youngest are looked through, and how many looks make the next older ones due.
_THRESHOLDS: Final = (10_000, 20, 20)


def garbage_settle() -> None:
    """Call once all is loaded. Modules and agents stay for ever, so they are looked through no more: walking over
    hundreds of thousands of them stopped all runs for tens of milliseconds, several times a second when busy."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
