"""What a leak scan finds, and the way it asks: many looks at once, each bounded, none of them taken for its answer."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

#: Looks at once; a cloud's APIs throttle whoever asks faster.
AT_ONCE: Final = 8
#: Seconds between two signs of life while looks are under way.
_TICK_S: Final = 1.0


@dataclass(frozen=True)
class Leak:
    """`id` finds it on the target: a pid, a path, an ARN."""

    kind: str
    id: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.id}{': ' + self.detail if self.detail else ''}"


@dataclass(frozen=True)
class Kept(Leak):
    """Left on purpose, such as a final snapshot: told, and no leak."""


Look = Callable[[], Iterable[Leak]]


@dataclass
class Scan:
    """`asked` are the looks that were answered. With `failures` the scan is undecided: what could not be asked may
    hold something."""

    leaks: list[Leak] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def take(self, found: Iterable[Leak]) -> None:
        for each in found:
            if isinstance(each, Kept):
                self.kept.append(each)
            else:
                self.leaks.append(each)


def looks_run(
    looks: Mapping[str, Look],
    *,
    deadline_s: float,
    alive: Callable[[], None],
    failure: Callable[[Exception], str],
) -> Scan:
    """Every look, by its name. One that raises or has no answer by the deadline is a failure, never "nothing there".

    `failure` puts an expected error into words; `alive` is called about every second.
    """
    scan, end = Scan(), monotonic() + deadline_s
    pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="leak-scan")
    try:
        running: dict[Future[list[Leak]], str] = {
            pool.submit(_collected, look): name for name, look in looks.items()
        }
        pending = set(running)
        while pending and monotonic() < end:
            _, pending = wait(pending, timeout=min(_TICK_S, max(0.0, end - monotonic())))
            alive()
    finally:
        # What hangs is bounded by its own timeouts; nobody waits for it.
        pool.shutdown(wait=False, cancel_futures=True)
    for future, name in running.items():
        if future in pending or future.cancelled():
            scan.failures.append(f"{name}: no answer within {deadline_s:g} s")
        elif (error := future.exception()) is not None:
            if not isinstance(error, Exception):
                raise error
            scan.failures.append(f"{name}: {failure(error)}")
        else:
            scan.asked.append(name)
            scan.take(future.result())
    return scan


def _collected(look: Look) -> list[Leak]:
    return list(look())
