"""The runner as the executor sees it: a child in a session of its own, lines out of it, signals into it."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import IO
from uuid import UUID

from django.conf import settings

from contracts.engine import EngineEvent, RunnerDecision, RunnerJob
from embedded.processes import MARK_VARIABLE, processes_kill

#: After SIGINT the CLI lets resources in flight finish; after this it is killed.
INTERRUPT_GRACE_S = 30.0


def operation_mark(operation_id: UUID, lease_token: UUID | None = None) -> str:
    """Marks the runner, the CLI and its plugins of one lease, so that what outlives a killed run can be found.
    Without a token: what every lease's mark of this operation begins with."""
    home: Path = settings.FREEHOLD_HOME
    folder = home / "operations" / str(operation_id)
    return str(folder / str(lease_token) if lease_token else folder)


def work_dir_prepare(operation_id: UUID, lease_token: UUID) -> Path:
    """A fresh folder for one run: Pulumi's project files, and a PULUMI_HOME of its own.

    The CLI logs every run below PULUMI_HOME in files named after the stack, which must not outlive the tenant;
    the plugin cache, which is large and shared, is linked in.
    """
    home: Path = settings.FREEHOLD_HOME
    folder = _work_dir(operation_id) / str(lease_token)
    plugins = home / "pulumi" / "plugins"
    for each in (plugins, folder / "home", folder / "project"):
        each.mkdir(parents=True, mode=0o700, exist_ok=True)
    (folder / "home" / "plugins").symlink_to(plugins)
    return folder


def work_dir_remove(operation_id: UUID, lease_token: UUID | None = None) -> None:
    """Removes one run's folder; without a token, those of every run of the operation."""
    shutil.rmtree(_work_dir(operation_id) / str(lease_token or ""), ignore_errors=True)
    with contextlib.suppress(OSError):
        _work_dir(operation_id).rmdir()


def _work_dir(operation_id: UUID) -> Path:
    home: Path = settings.FREEHOLD_HOME
    return home / "pulumi" / "work" / str(operation_id)


class RunnerProcess:
    """Starts the runner with `job` and reads its events; `next` never blocks beyond its timeout."""

    def __init__(self, job: RunnerJob, *, lease_token: UUID, log_path: Path) -> None:
        self._mark = operation_mark(job.operation_id, lease_token)
        self.log_path = log_path
        log_path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "controlplane.operations.runner"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**job.env, MARK_VARIABLE: self._mark},
                cwd=Path(__file__).resolve().parent.parent.parent,
                start_new_session=True,
                text=True,
                encoding="utf-8",
            )
        finally:
            os.close(log)
        self._lines: queue.Queue[str | None] = queue.Queue()
        assert self._process.stdout is not None
        threading.Thread(target=self._pump, args=(self._process.stdout,), daemon=True).start()
        self._write(job.model_dump_json())

    def _pump(self, stdout: IO[str]) -> None:
        for line in stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _write(self, line: str) -> None:
        assert self._process.stdin is not None
        # A runner that died is noticed where events are read.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def decide(self, proceed: bool, *, state_hash: str | None = None) -> None:
        self._write(RunnerDecision(proceed=proceed, state_hash=state_hash).model_dump_json())

    def next(self, timeout_s: float) -> EngineEvent | None:
        """The next event; None after `timeout_s`. EOFError once the runner closed its end."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if line is None:
            raise EOFError
        return EngineEvent.model_validate_json(line)

    def drain(self) -> Iterable[EngineEvent]:
        """Whatever has arrived already, without waiting."""
        while not self._lines.empty():
            line = self._lines.get_nowait()
            if line is None:
                self._lines.put(None)
                return
            yield EngineEvent.model_validate_json(line)

    def interrupt(self) -> None:
        """One SIGINT to the group: a second would make the CLI give up on resources in flight."""
        self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Ends this run's processes, and no other attempt's."""
        self._signal(signal.SIGKILL)
        processes_kill(self._mark)

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def close(self) -> int:
        """Waits for the end (bounded) and returns the exit code."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            return self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.kill()
            return self._process.wait(timeout=10)

    def log_tail(self, limit: int = 1500) -> str:
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")[-limit:].strip()
        except OSError:
            return ""
