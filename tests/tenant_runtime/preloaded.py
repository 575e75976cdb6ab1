"""Workers without the seconds of their start: forked from a process that has imported everything already.

Each is `python -m tenant_runtime worker` from there on, with a pid, connections and a lease thread of its own, and is
killed or stopped like any other. Hundreds of kills want hundreds of workers, whose imports would be most of the time.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from tests.tenant_runtime.support import START_S, wait_until

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ForkedWorker:
    pid: int
    folder: Path

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ready(self) -> bool:
        mark = self.folder / "ready"
        return mark.exists() and mark.read_text() == str(self.pid)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Returns when it is gone."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        wait_until(self._gone, 10, f"worker {self.pid} to be gone")

    def _gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        return False

    def gave_up(self, run_id: str) -> bool:
        """Whether it has said that the run is another worker's."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return any(line.get("run_id") == run_id and "another worker's" in line["event"] for line in lines)


class Forge:
    """Makes workers; for several threads."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process, self._folder, self._one = process, folder, threading.Lock()

    def worker(self, environment: Mapping[str, str], manifest: Path, *, plant: str = "") -> ForkedWorker:
        """A worker that begins now; see `ready`. `plant` names a bug it is to have."""
        folder = self._folder / f"worker-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        wanted = {
            "environment": {**environment, "RUNTIME_STATE_DIR": str(folder)},
            "manifest": str(manifest), "log": str(folder / "log"), "plant": plant,
        }  # fmt: skip
        with self._one:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            return ForkedWorker(int(self._process.stdout.readline()), folder)


@contextmanager
def forge_started(folder: Path) -> Iterator[Forge]:
    """Ends every worker that is left at the end."""
    argv = [sys.executable, "-m", "tests.tenant_runtime.preloaded"]
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "loaded\n"
        yield Forge(process, folder)
    finally:
        process.stdin.close()
        try:
            process.wait(START_S)
        finally:
            process.stdout.close()


def _unfenced() -> None:
    """The bug that a measurement of woken workers must find: neither the fence nor the heartbeat tells them."""
    from psycopg import sql

    from tenant_runtime.engine import fence, leases

    always = sql.SQL("SELECT 1 AS held WHERE %s::uuid IS NOT NULL AND %s::bigint IS NOT NULL")
    fence._SHARED = fence._ALONE = always  # type: ignore[misc, assignment]

    async def renew(_: leases.Renewal, held: Any) -> dict[uuid.UUID, None]:
        return {each.run_id: None for each in held}

    leases.Renewal.renew = renew  # type: ignore[assignment, method-assign]


PLANTS = {"": lambda: None, "unfenced": _unfenced}


def _become(wanted: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        log = os.open(wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.clear()
        os.environ.update(wanted["environment"])
        from tenant_runtime.__main__ import main

        PLANTS[wanted["plant"]]()
        code = main(["worker", "--manifest", wanted["manifest"]])
    except BaseException:
        traceback.print_exc()
    os._exit(code)


def _forge() -> None:
    # All of this is what a start takes its time for.
    import langgraph.graph  # noqa: F401
    import openai  # noqa: F401

    import tenant_runtime.__main__
    import tenant_runtime.service.working  # noqa: F401

    # Nobody waits for those that are killed.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("loaded", flush=True)
    made = []
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        made.append(pid)
        print(pid, flush=True)
    for pid in made:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _forge()
