"""A real Redis: started once, found again, and closed to those without the password."""

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from embedded.errors import PortTakenError, ServerNotReadyError
from embedded.ports import free_port
from embedded.processes import process_wait_gone, processes_marked
from embedded.redis import RedisServer, redis_ready, redis_running, redis_start, redis_stop, redis_url

PASSWORD = "s3cret p@ss"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    tmp_path.chmod(0o700)
    server = RedisServer(dir=tmp_path / "cache", port=free_port(), log_path=tmp_path / "log", persist=True)
    redis_ready(server, PASSWORD, 10, identity=redis_start(server, password=PASSWORD))
    yield server
    redis_stop(server, 5)
    assert processes_marked(str(server.dir)) == []


def test_the_server_is_found_again_even_without_its_identity_file(server: RedisServer) -> None:
    first = redis_running(server)
    assert first is not None
    assert redis_start(server, password=PASSWORD).pid == first.pid
    server.identity_path.unlink()
    assert redis_start(server, password=PASSWORD).pid == first.pid


def test_clients_need_the_password_and_may_not_configure(server: RedisServer) -> None:
    with redis.Redis.from_url(redis_url(server, PASSWORD)) as client:
        assert client.set("a", "1")
        assert client.eval("return redis.call('get', KEYS[1])", 1, "a") == b"1"
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.config_set("dir", "/tmp")
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.get("a")


def test_a_killed_server_starts_again_with_its_data(server: RedisServer) -> None:
    with redis.Redis.from_url(redis_url(server, PASSWORD)) as client:
        client.set("kept", "7")
    killed = redis_running(server)
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    assert process_wait_gone(killed, 5)
    assert redis_running(server) is None
    redis_ready(server, PASSWORD, 10, identity=redis_start(server, password=PASSWORD))
    with redis.Redis.from_url(redis_url(server, PASSWORD)) as client:
        assert client.get("kept") == b"7"


def test_the_password_is_in_no_process_list_and_no_file(server: RedisServer) -> None:
    identity = redis_running(server)
    assert identity is not None
    argv = psutil.Process(identity.pid).cmdline()
    assert any(str(server.dir) in part for part in argv)
    assert not any(PASSWORD in part for part in argv)
    assert PASSWORD not in server.config_path.read_text() + server.log_path.read_text()
    assert stat.S_IMODE(server.config_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.dir.stat().st_mode) == 0o700


def test_a_taken_port_is_refused(server: RedisServer, tmp_path: Path) -> None:
    second = RedisServer(tmp_path / "second", server.port, tmp_path / "log2")
    with pytest.raises(PortTakenError, match=rf"port {server.port} .*redis"):
        redis_start(second, password=PASSWORD)


def test_a_server_that_cannot_run_shows_its_log(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "cache", free_port(), tmp_path / "log", max_memory_mb=-1)
    identity = redis_start(server, password=PASSWORD)
    with pytest.raises(ServerNotReadyError, match=r"server ended(.|\n)*maxmemory"):
        redis_ready(server, PASSWORD, 10, identity=identity)


def test_scripting_can_be_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "cache", free_port(), tmp_path / "log", allow_scripting=False)
    redis_ready(server, PASSWORD, 10, identity=redis_start(server, password=PASSWORD))
    try:
        client = redis.Redis.from_url(redis_url(server, PASSWORD))
        with client, pytest.raises(redis.exceptions.NoPermissionError):
            client.eval("return 1", 0)
    finally:
        redis_stop(server, 5)
