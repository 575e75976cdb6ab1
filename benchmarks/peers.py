"""Other products to compare with, each in an environment of its own below .tools/peers, at pinned versions."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.private import ROOT, BenchmarkError
from benchmarks.progress import say

PEERS = ROOT / ".tools" / "peers"
_INSTALL_S = 600
_INTERPRETERS = ("python3.12", "python3.13")


@dataclass(frozen=True)
class Peer:
    """`package` is what its version is of; `modern` says that it needs a Python later than 3.11."""

    name: str
    version: str
    package: str
    more: tuple[str, ...] = ()
    modern: bool = False

    @property
    def folder(self) -> Path:
        return PEERS / f"{self.name}-{self.version}"


def peer_installed(peer: Peer) -> Path:
    """The folder of the peer's programs. BenchmarkError when it cannot be installed here."""
    marker = peer.folder / "installed"
    wanted = [f"{peer.package}=={peer.version}", *peer.more]
    if marker.exists() and marker.read_text() == "\n".join(wanted):
        return peer.folder / "bin"
    say(f"installing {peer.name} {peer.version}")
    shutil.rmtree(peer.folder, ignore_errors=True)
    python = _modern() if peer.modern else sys.executable
    try:
        _uv("venv", "--quiet", "--python", python, str(peer.folder))
        _uv("pip", "install", "--quiet", "--python", str(peer.folder / "bin" / "python"), *wanted)
    except BenchmarkError:
        shutil.rmtree(peer.folder, ignore_errors=True)
        raise
    marker.write_text("\n".join(wanted))
    return peer.folder / "bin"


def _uv(*arguments: str) -> None:
    own = Path(sys.executable).parent / "uv"
    program = str(own) if own.exists() else shutil.which("uv")
    if program is None:
        raise BenchmarkError("uv is missing: make install")
    try:
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, "UV_PYTHON_DOWNLOADS": "never"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired as slow:
        raise BenchmarkError(f"uv {arguments[0]} took longer than {_INSTALL_S} s") from slow
    if done.returncode != 0:
        # Its text names folders and hosts of this machine, which no result may hold.
        say(done.stderr[-1500:])
        raise BenchmarkError(f"uv {arguments[0]} ended with {done.returncode}")


def _modern() -> str:
    """An interpreter later than 3.11, on the path or kept by pyenv, whose shims may refuse."""
    kept = Path(os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))) / "versions"
    found = [path for name in _INTERPRETERS if (path := shutil.which(name))]
    found += [str(path) for path in sorted(kept.glob("3.1[23]*/bin/python"))]
    for python in found:
        done = subprocess.run([python, "-c", ""], capture_output=True, timeout=30, check=False)
        if done.returncode == 0:
            return python
    raise BenchmarkError(f"there is no {' or '.join(_INTERPRETERS)}")
