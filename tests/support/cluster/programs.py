"""Where the programs of the control plane are, and starting one of them with its log."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from embedded.processes import (
    ProcessIdentity,
    process_alive,
    process_spawn,
    process_stop,
)

ROOT = Path(__file__).resolve().parents[3]
_LOG_END_LINES = 30


class ClusterError(Exception):
    """The cluster did not come to a state in time, or lost a part; the text ends with the log's end."""


@dataclass(frozen=True)
class Program:
    """One running part of the control plane."""

    name: str
    identity: ProcessIdentity
    log: Path

    @classmethod
    def start(cls, name: str, options: Sequence[str], folder: Path) -> "Program":
        log = folder / f"{name}.log"
        # A scheduler and controllers that every test shares must not starve what the test measures.
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GOMAXPROCS": "2"}
        identity = process_spawn(
            [str(program_path(name)), *options], cwd=folder, env=environment, log_path=log, mark=str(folder)
        )
        return cls(name, identity, log)

    def check(self) -> None:
        """ClusterError when it has ended."""
        if not process_alive(self.identity):
            raise ClusterError(f"{self.name} has ended.\n{self.log_end()}")

    def stop(self, grace_s: float) -> None:
        process_stop(self.identity, grace_s=grace_s)

    def log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-_LOG_END_LINES:]
        return "\n".join([f"--- the end of {self.log.name} ---", *lines])


def program_path(name: str) -> Path:
    path = ROOT / ".tools" / "bin" / name
    if not path.exists():
        raise ClusterError(f"{name} is missing: run `python3 tools/install-kubernetes` once")
    return path
