"""A private running Freehold in a home of its own, started by the public command and removed at the end."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.progress import say
from embedded.ports import free_port
from embedded.processes import process_stop, processes_marked

ROOT = Path(__file__).resolve().parent.parent
TERMINAL = ("succeeded", "failed", "canceled")
#: How often an operation's state is asked for: the resolution of every time that ends with one.
POLL_S = 0.05
UP_TIMEOUT_S = 240
#: A caller's own settings must not reach the private home.
_DROPPED = ("DATABASE_URL", "REDIS_URL", "PULUMI_", "FREEHOLD_", "DJANGO_", "RUNTIME_", "MODEL_", "STRIPE_")


class BenchmarkError(RuntimeError):
    """The software did not do what was to be measured; there is no figure."""


@dataclass
class PrivateFreehold:
    """One home. `up_cold_s` is what the first `freehold up` took, from no data at all."""

    home: Path
    env: dict[str, str]
    up_cold_s: float = 0.0

    @property
    def up(self) -> dict[str, Any]:
        return dict(json.loads((self.home / "up.json").read_text()))

    def command(self, *arguments: str) -> float:
        """Runs `freehold ...`; the seconds it took. BenchmarkError with its last words when it fails."""
        started = time.monotonic()
        done = subprocess.run(
            [str(Path(sys.executable).parent / "freehold"), *arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=UP_TIMEOUT_S,
        )
        if done.returncode != 0:
            raise BenchmarkError(
                f"freehold {arguments[0]} ended with {done.returncode}: {done.stderr[-1500:]}"
            )
        return time.monotonic() - started

    def client(self) -> httpx.Client:
        up = self.up
        headers = {"Authorization": f"Bearer {up['api_key']}", "Accept": "application/json"}
        return httpx.Client(base_url=up["api_url"], headers=headers, timeout=30)


def answer(response: httpx.Response) -> dict[str, Any]:
    if response.status_code >= 400:
        raise BenchmarkError(f"{response.request.method} {response.request.url.path}: {response.text[:500]}")
    return dict(response.json())


def operation_wait(client: httpx.Client, operation_id: str, *, timeout_s: float = 150) -> dict[str, Any]:
    """Until the operation has succeeded. BenchmarkError when it ends otherwise or takes too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        operation = answer(client.get(f"/operations/{operation_id}"))
        if operation["state"] == "succeeded":
            return operation
        if operation["state"] in TERMINAL or time.monotonic() > deadline:
            raise BenchmarkError(f"{operation['kind']} is {operation['state']}: {operation['error']}")
        time.sleep(POLL_S)


_running: list[PrivateFreehold] = []


def freehold_shared() -> PrivateFreehold:
    """The private Freehold of this run of `python -m benchmarks`, started on first use."""
    if not _running:
        home = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
        # Noted before the start, so that a start that fails is cleaned up too.
        _running.append(PrivateFreehold(home, _environment(home)))
        say("starting a private Freehold from no data")
        _running[0].up_cold_s = _running[0].command("up")
    if not _running[0].up_cold_s:
        raise BenchmarkError("the private Freehold did not start, as said above")
    return _running[0]


@contextmanager
def freehold_removed_at_end() -> Iterator[None]:
    """Stops and removes the private Freehold, whatever happened."""
    try:
        yield
    finally:
        while _running:
            private = _running.pop()
            say("stopping the private Freehold and removing its home")
            try:
                private.command("down")
            except (BenchmarkError, subprocess.TimeoutExpired) as error:
                say(f"freehold down failed: {error}")
            for leftover in processes_marked(str(private.home)):
                process_stop(leftover, grace_s=5)
            shutil.rmtree(private.home, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return {
        **kept,
        "FREEHOLD_HOME": str(home),
        "FREEHOLD_PORT": str(free_port()),
        # A benchmark sends more requests a minute than a key may.
        "FREEHOLD_RATE_LIMIT_PER_MINUTE": "0",
    }
