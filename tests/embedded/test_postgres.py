"""A real Postgres: started once, found again, hurt, and restarted with its data."""

import os
import re
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from embedded import postgres as postgres_module
from embedded import service_user
from embedded.databases import database_ensure
from embedded.errors import FolderClosedError, PortTakenError, ServerNotReadyError, ServerSetupError
from embedded.ports import free_port
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_query,
    postgres_ready,
    postgres_running,
    postgres_serving,
    postgres_start,
    postgres_stop,
    postgres_url,
)
from embedded.processes import process_wait_gone, processes_marked

PASSWORD = "pä:ss/w'rd"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    folder = tmp_path_factory.mktemp("pg")
    server = PostgresServer(data_dir=folder / "data", port=free_port(), log_path=folder / "log")
    with postgres_serving(server, password=PASSWORD):
        yield server
    assert processes_marked(str(server.data_dir)) == []


def test_starting_again_gives_the_running_server(server: PostgresServer) -> None:
    postgres_init(server, password="another")
    first = postgres_running(server)
    assert first is not None
    assert postgres_start(server).pid == first.pid
    postgres_ready(server, PASSWORD, 5)


def test_a_database_with_an_ordinary_owner_and_vectors(server: PostgresServer) -> None:
    for _ in range(2):
        database_ensure(
            server,
            PASSWORD,
            database="memories",
            owner="agent's",
            owner_password="s3cret",
            extensions=["vector"],
        )
    assert postgres_query(server, PASSWORD, "SELECT '[1,2]'::vector <-> '[1,4]'", database="memories") == "2"
    as_owner = PostgresServer(server.data_dir, server.port, server.log_path, superuser="agent's")
    assert postgres_query(as_owner, "s3cret", "CREATE TABLE t (n int)", database="memories") == ""
    with pytest.raises(ServerSetupError, match="permission denied"):
        postgres_query(as_owner, "s3cret", "COPY t FROM PROGRAM 'id'", database="memories")


def test_the_url_escapes_the_password(server: PostgresServer) -> None:
    url = postgres_url(server, PASSWORD, "postgres")
    assert url == f"postgresql://freehold:p%C3%A4%3Ass%2Fw%27rd@127.0.0.1:{server.port}/postgres"


def test_no_password_shows_in_a_process_list_or_the_log(server: PostgresServer) -> None:
    shown = [line for process in psutil.process_iter() for line in _cmdline(process)]
    assert any(str(server.data_dir) in line for line in shown)
    assert not any(PASSWORD in line for line in shown)
    assert PASSWORD not in server.log_path.read_text()


def test_files_are_private_and_nothing_listens_beside_the_port(server: PostgresServer) -> None:
    assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.log_path.stat().st_mode) == 0o600
    assert sorted(path.name for path in server.data_dir.parent.iterdir()) == ["data", "log"]
    identity = postgres_running(server)
    assert identity is not None
    process = psutil.Process(identity.pid)
    listening = [c.laddr for c in process.net_connections("all") if c.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", server.port)]
    if os.geteuid() == 0:
        assert process.username() == service_user.SERVICE_USER


def test_a_killed_server_starts_again_with_its_data(server: PostgresServer) -> None:
    postgres_query(server, PASSWORD, "CREATE TABLE kept AS SELECT 7 AS n")
    killed = postgres_running(server)
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    assert process_wait_gone(killed, 5)
    assert postgres_running(server) is None
    started = postgres_start(server)
    postgres_ready(server, PASSWORD, 20, identity=started)
    assert started.pid != killed.pid
    assert postgres_query(server, PASSWORD, "SELECT n FROM kept") == "7"


def test_a_lock_file_that_names_a_stranger_does_not_stop_the_start(server: PostgresServer) -> None:
    running = postgres_running(server)
    assert running is not None
    lock = (server.data_dir / "postmaster.pid").read_text()
    os.kill(running.pid, signal.SIGKILL)
    assert process_wait_gone(running, 5)
    (server.data_dir / "postmaster.pid").write_text(lock.replace(str(running.pid), str(os.getpid()), 1))
    postgres_ready(server, PASSWORD, 20, identity=postgres_start(server))


def test_a_wrong_password_is_told_at_once(server: PostgresServer) -> None:
    with pytest.raises(ServerNotReadyError, match="password authentication failed"):
        postgres_ready(server, "wrong", 5)


def test_a_taken_port_is_refused_before_the_start(server: PostgresServer, tmp_path: Path) -> None:
    second = PostgresServer(tmp_path / "data", server.port, tmp_path / "log")
    (tmp_path / "data").mkdir()
    with pytest.raises(PortTakenError, match=rf"port {server.port} .*postgres"):
        postgres_start(second)


def test_stopping_what_does_not_run_is_no_error(tmp_path: Path) -> None:
    postgres_stop(PostgresServer(tmp_path / "data", free_port(), tmp_path / "log"), 1)


def test_a_crash_during_initdb_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PostgresServer(tmp_path / "data", free_port(), tmp_path / "log")
    building = tmp_path / "data.building"
    building.mkdir()
    (building / "PG_VERSION").write_text("16\n")
    monkeypatch.setattr(postgres_module, "_initdb", _fail)
    with pytest.raises(ServerSetupError):
        postgres_init(server, password=PASSWORD)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_root_serves_from_below_a_closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "acme" / "data", free_port(), closed / "log")
    with postgres_serving(server, password=PASSWORD):
        identity = postgres_running(server)
        assert identity is not None
        assert psutil.Process(identity.pid).username() == service_user.SERVICE_USER
    monkeypatch.setattr(service_user.shutil, "which", lambda _name: None)
    with pytest.raises(FolderClosedError, match="chmod o\\+x"):
        postgres_start(server)


def _fail(*_arguments: object) -> None:
    raise ServerSetupError("the disk is full")


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_root_gives_no_capability_away_where_folders_are_open() -> None:
    with tempfile.TemporaryDirectory(prefix="freehold-open-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        server = PostgresServer(folder / "data", free_port(), folder / "log")
        with postgres_serving(server, password=PASSWORD):
            identity = postgres_running(server)
            assert identity is not None
            assert psutil.Process(identity.pid).username() == service_user.SERVICE_USER
            status = Path(f"/proc/{identity.pid}/status").read_text()
            assert re.search(r"^CapEff:\s+0+$", status, re.MULTILINE)
