"""What the cases share: a Postgres that may be stopped, a database to copy, and the process that forks victims."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from embedded.ports import free_port
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_ready,
    postgres_running,
    postgres_start,
    postgres_url,
)
from embedded.processes import ProcessIdentity, process_alive, process_wait_gone

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = "metering_template"
_KILL_WAIT_S = 10.0


@dataclass
class Forker:
    """The process that forks the ones to be killed (forker.py), and everything it has started."""

    folder: Path
    process: subprocess.Popen[str]
    identities: dict[int, ProcessIdentity] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def start(cls, folder: Path, environment: dict[str, str]) -> "Forker":
        with (folder / "forker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.billing.crash.forker"],
                cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        return cls(folder, process)

    def listen(self) -> int:
        """The port of a new socket that every child can accept on."""
        return self._ask({"listen": True})

    def fork(self, role: str, **command: Any) -> int:
        """The pid of a process in that role."""
        pid = self._ask({"role": role, "log": str(self.folder / f"{role}.log"), **command})
        identity = ProcessIdentity.of(pid)
        if identity is not None:
            self.identities[pid] = identity
        return pid

    def kill(self, pid: int) -> None:
        """SIGKILL, and the wait until it is carried out; nothing where this child has ended, whoever has its pid
        now."""
        identity = self.identities.get(pid)
        if identity is None or not process_alive(identity):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if not process_wait_gone(identity, _KILL_WAIT_S):
            raise AssertionError(f"process {pid} outlived SIGKILL by {_KILL_WAIT_S:.0f} s")

    def done(self, pid: int, within_s: float = 60.0) -> None:
        """Waits for the end of a child."""
        identity = self.identities.get(pid)
        gone = identity is None or process_wait_gone(identity, within_s)
        assert gone, f"process {pid} does not end"

    def stop(self) -> None:
        for pid in self.identities:
            self.kill(pid)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)

    def _ask(self, command: dict[str, Any]) -> int:
        with self._lock:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        assert answer, f"the forker ended: {self.log('forker')}"
        return int(answer)

    def log(self, role: str) -> str:
        path = self.folder / f"{role}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""


@dataclass
class Site:
    root: Path
    server: PostgresServer
    password: str
    forker: Forker

    @classmethod
    def start(cls) -> "Site":
        root = Path(tempfile.mkdtemp(prefix="freehold-metering-"))
        server = PostgresServer(
            data_dir=root / "postgres", port=free_port(), log_path=root / "postgres.log", max_connections=120
        )
        password = secrets.token_urlsafe(16)
        postgres_init(server, password=password)
        postgres_start(server)
        postgres_ready(server, password, 30)
        environment = {
            **os.environ,
            "DATABASE_URL": postgres_url(server, password, TEMPLATE),
            "FREEHOLD_RATE_LIMIT_PER_MINUTE": "0",
            "PYTHONPATH": str(ROOT),
        }
        site = cls(root, server, password, Forker.start(root, environment))
        site.statement(f"CREATE DATABASE {TEMPLATE}")
        migrating = site.forker.fork("migrate", database=TEMPLATE, postgres_port=server.port)
        site.forker.done(migrating, 120)
        return site

    def stop(self) -> None:
        self.forker.stop()
        # Nobody needs the data any more, so there is nothing to put in order.
        if postgres_running(self.server) is not None:
            self.postgres_stop_immediate()
        shutil.rmtree(self.root, ignore_errors=True)

    def url(self, database: str) -> str:
        return postgres_url(self.server, self.password, database)

    def statement(self, sql: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql)

    def database(self) -> str:
        """A new one with the control plane's tables."""
        name = f"metering_{secrets.token_hex(4)}"
        self.statement(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return name

    def postgres_stop_immediate(self) -> None:
        """What `pg_ctl stop -m immediate` sends: the server ends without a checkpoint or a goodbye, as in a crash."""
        identity = postgres_running(self.server)
        assert identity is not None, "Postgres does not run"
        os.kill(identity.pid, signal.SIGQUIT)
        assert process_wait_gone(identity, _KILL_WAIT_S), "Postgres outlived an immediate stop"

    def postgres_start_again(self) -> None:
        identity = postgres_start(self.server)
        postgres_ready(self.server, self.password, 60, identity=identity)
