"""Builds a program that tests need from its Go module, once.

`tools/NAME/go.mod` pins the module; the program is kept in `.tools/bin` together with a stamp of everything that
decides what it is. Each `tools/install-NAME` is a short script over `program_install`.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bootstrap

BIN = bootstrap.TOOLS / "bin"


@dataclass(frozen=True)
class Program:
    """One command of a Go module. `takes` says how long a cold build lasts on two cores."""

    name: str
    module: str
    """The folder below tools/ that holds go.mod and go.sum."""
    package: str
    takes: str
    linked: str = ""
    """Further -ldflags, such as `-X package.variable=value`."""
    tags: str = ""

    @property
    def path(self) -> Path:
        return BIN / self.name

    @property
    def folder(self) -> Path:
        return bootstrap.ROOT / "tools" / self.module

    def stamp(self) -> str:
        pinned = (self.folder / "go.mod").read_bytes() + (self.folder / "go.sum").read_bytes()
        wanted = "\0".join((self.package, self.linked, self.tags))
        return hashlib.sha256(pinned + wanted.encode()).hexdigest()


def program_installed(program: Program) -> bool:
    stamp = _stamp_path(program)
    return program.path.exists() and stamp.exists() and stamp.read_text() == program.stamp()


def program_install(*programs: Program) -> int:
    """Builds those that are missing or were built from something else; the exit code for a script."""
    for program in programs:
        if program_installed(program):
            continue
        bootstrap.say(
            f"Building {program.name} from its Go module (about {program.takes} on two cores, once) …"
        )
        try:
            _build(program, bootstrap.go_find())
        except bootstrap.StepError as error:
            bootstrap.say(f"{program.name} could not be built: {error.why}\nTry: {error.try_}")
            return 1
        _stamp_path(program).write_text(program.stamp())
    return 0


def _stamp_path(program: Program) -> Path:
    return BIN / f".{program.name}.stamp"


def _build(program: Program, go: str) -> None:
    BIN.mkdir(parents=True, exist_ok=True)
    argv = [go, "build", "-trimpath", "-tags", program.tags, "-ldflags", f"-s -w {program.linked}".strip()]
    argv += ["-o", str(program.path), program.package]
    bootstrap.run(
        ["sh", "-c", 'cd "$0" && exec "$@"', str(program.folder), *argv],
        log=program.name,
        label=f"building {program.name}",
        env={"GOFLAGS": "-mod=readonly -buildvcs=false"},
    )
