"""How the work on data is told to whoever started it, and how it learns that it should end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stacks.snapshots.errors import DataCanceled


@dataclass
class Progress:
    """`phase` is called with (name, "started" | "finished", detail); `canceled` is asked between pieces of work."""

    phase: Callable[[str, str, str], None]
    canceled: Callable[[], bool]

    def alive(self) -> None:
        if self.canceled():
            raise DataCanceled("It was asked to end; what was there before is in place.")

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """A step of the timeline. What is appended to the list becomes its detail."""
        self.phase(name, "started", "")
        details: list[str] = []
        yield details
        self.phase(name, "finished", " ".join(details))
