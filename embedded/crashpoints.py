"""Named moments at which a crash test may stop the product and kill a part of it.

Nothing happens unless FREEHOLD_CRASH_POINTS names a folder. Then every point passed is noted in `<folder>/trace`, and
a point for which `<folder>/<name>.armed` exists halts once: the file becomes `<name>.reached`, with the process's pid
in it, until the test removes it (or kills this process), 30 seconds at most.
"""

import os
import time
from pathlib import Path

VARIABLE = "FREEHOLD_CRASH_POINTS"
HALT_S = 30.0


def crash_points_on() -> bool:
    return bool(os.environ.get(VARIABLE))


def crash_point(name: str) -> None:
    """`name` is `<room>.<moment>`, such as `runner.planned`; letters, digits, dots, dashes and underscores."""
    folder = os.environ.get(VARIABLE)
    if folder:
        _pass(Path(folder), name)


def _pass(folder: Path, name: str) -> None:
    # One write of one short line: appends of several processes do not mix.
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
