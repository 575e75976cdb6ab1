"""A server of any kind for a while: a process of its own group, ready when an address answers, ended by its pid."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.private import BenchmarkError
from benchmarks.progress import say

_READY_S = 120
_GRACE_S = 10


@contextmanager
def server_started(
    argv: Sequence[str], *, name: str, folder: Path, environment: Mapping[str, str], ready: str
) -> Iterator[None]:
    """Until `ready` answers 200. BenchmarkError when it ends before, or takes too long."""
    log = folder / "log"
    base = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8", "HOME": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env={**base, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait(process, name, log, ready)
        yield
    finally:
        _end(process)


def _wait(process: "subprocess.Popen[bytes]", name: str, log: Path, ready: str) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        if process.poll() is not None:
            say(log.read_text(errors="replace")[-2000:])
            raise BenchmarkError(f"{name} ended with {process.returncode} while it started")
        try:
            if httpx.get(ready, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            say(log.read_text(errors="replace")[-2000:])
            raise BenchmarkError(f"{name} did not answer within {_READY_S} s")
        time.sleep(0.1)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Its group, since some servers start others."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait(_GRACE_S)
