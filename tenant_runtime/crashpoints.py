"""Named moments at which a crash test may stop a worker and kill it; silent unless the variable names a folder.

The same protocol as the control plane's (`embedded/crashpoints.py`), written again because the runtime's image holds
the runtime and the contracts alone: every point passed is noted in `<folder>/trace`, and a point for which
`<folder>/<name>.armed` exists halts once, as `<name>.reached` with the process's pid in it.
"""

import os
import time
from pathlib import Path
from typing import Final

VARIABLE: Final = "FREEHOLD_CRASH_POINTS"
HALT_S: Final = 30.0


def crash_point(name: str) -> None:
    folder = os.environ.get(VARIABLE)
    if folder:
        _pass(Path(folder), name)


def _pass(folder: Path, name: str) -> None:
    """Blocks the whole process on purpose: a killed worker does nothing else meanwhile either."""
    with (folder / "trace").open("a", encoding="utf-8") as trace:
        trace.write(f"{time.time():.3f} {name} {os.getpid()}\n")
    reached = folder / f"{name}.reached"
    try:
        (folder / f"{name}.armed").rename(reached)
    except FileNotFoundError:
        return
    reached.write_text(str(os.getpid()), encoding="utf-8")
    end = time.monotonic() + HALT_S
    while reached.exists() and time.monotonic() < end:
        time.sleep(0.01)
