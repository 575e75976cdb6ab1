"""Crash points from the test's side: armed, waited for, released (embedded/crashpoints.py)."""

from pathlib import Path

from embedded.processes import wait_until


class Points:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder

    def arm(self, point: str) -> None:
        (self.folder / f"{point}.armed").touch()

    def wait(self, point: str, within_s: float = 20.0) -> int | None:
        """The pid that halts at the point; None where none came by, and the point is no longer armed then."""
        if wait_until(lambda: self.at(point) is not None, within_s, poll_s=0.002):
            return self.at(point)
        (self.folder / f"{point}.armed").unlink(missing_ok=True)
        return None

    def release(self, point: str) -> None:
        (self.folder / f"{point}.reached").unlink(missing_ok=True)

    def clear(self) -> None:
        """What is armed or halts no longer does; the trace begins anew."""
        for path in self.folder.iterdir():
            path.unlink(missing_ok=True)

    def passed(self) -> set[str]:
        """Points that have been passed since `clear`."""
        trace = self.folder / "trace"
        lines = trace.read_text(encoding="utf-8").splitlines() if trace.exists() else []
        return {line.split()[1] for line in lines if len(line.split()) == 3}

    def at(self, point: str) -> int | None:
        """The pid that halts there now."""
        try:
            said = (self.folder / f"{point}.reached").read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        # Still empty between its renaming and its writing; the armed file is empty too.
        return int(said) if said else None
