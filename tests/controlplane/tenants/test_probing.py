"""Looks at real servers: a Postgres and a Redis that answer, refuse, hang and are not there; and a hundred hanging."""

import json
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from controlplane.tenants.looks import Look
from controlplane.tenants.probing import Endpoints, looks_take
from embedded.ports import free_port
from tests.support.services import RunningPostgres, RunningRedis

CHECKS = {"model": {"ok": True, "detail": "offline-rules-1", "duration_ms": 1}}


class Ready(BaseHTTPRequestHandler):
    """A runtime's /ready, from outside all that is looked at."""

    def do_GET(self) -> None:
        body = json.dumps({"checks": CHECKS}).encode()
        self.send_response(200 if self.path == "/ready" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        return


@pytest.fixture(scope="module")
def runtime_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def vector_url(postgres_server: RunningPostgres) -> str:
    return postgres_server.create(f"vectors_{uuid4().hex[:8]}", extensions=("vector",))


@pytest.fixture
def hanging_port() -> Iterator[int]:
    """Takes connections and never says a word, as a stopped process does."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1024)) as listener:
        yield listener.getsockname()[1]


def looked(**urls: object) -> dict[str, Look]:
    endpoints = Endpoints(tenant_id=uuid4(), **{"runtime_url": "", **urls})  # type: ignore[arg-type]
    (looks,) = looks_take([endpoints], timeout_s=1).values()
    return {look.component: look for look in looks}


def test_everything_answers(
    postgres_server: RunningPostgres, redis_server: RunningRedis, runtime_url: str, vector_url: str
) -> None:
    found = looked(
        runtime_url=runtime_url,
        postgres_url=postgres_server.url(),
        redis_url=redis_server.url(),
        vector_url=vector_url,
    )
    assert {name: look.health for name, look in found.items()} == dict.fromkeys(
        ("postgres", "vector_store", "redis", "model", "runtime"), "healthy"
    )
    assert all(look.latency_ms is not None for look in found.values())


def test_a_store_without_its_extension_is_unhealthy(postgres_server: RunningPostgres) -> None:
    url = postgres_server.create(f"plain_{uuid4().hex[:8]}")
    look = looked(vector_url=url)["vector_store"]
    assert (look.health, look.detail) == ("unhealthy", "the extension vector is missing")


def test_a_postgres_that_accepts_reads_only_is_degraded(postgres_server: RunningPostgres) -> None:
    name = f"readonly_{uuid4().hex[:8]}"
    url = postgres_server.create(name)
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'.encode())
    assert looked(postgres_url=url)["postgres"].health == "degraded"


def test_refused_logins_are_told_without_the_password(
    postgres_server: RunningPostgres, redis_server: RunningRedis
) -> None:
    wrong = "planted-password"
    found = looked(
        postgres_url=postgres_server.url().replace(postgres_server.password, wrong),
        redis_url=redis_server.url().replace(redis_server.password, wrong),
    )
    for look in found.values():
        assert (look.health, look.detail) == ("unhealthy", "refuses our login")
    assert wrong not in repr(Endpoints(tenant_id=uuid4(), runtime_url="", postgres_url=wrong))


def test_what_is_not_there_is_unhealthy_and_the_model_unknown() -> None:
    port = free_port()
    found = looked(
        runtime_url=f"http://127.0.0.1:{port}",
        postgres_url=f"postgresql://a:b@127.0.0.1:{port}/c",
        redis_url=f"redis://:b@127.0.0.1:{port}/0",
        vector_url=f"postgresql://a:b@127.0.0.1:{port}/c",
    )
    for name in ("runtime", "postgres", "redis", "vector_store"):
        assert (found[name].health, found[name].detail) == ("unhealthy", "nothing listens on its port")
        assert found[name].latency_ms is None
    assert found["model"].health == "unknown"


def test_what_hangs_is_cut_off(hanging_port: int) -> None:
    begun = time.monotonic()
    found = looked(
        runtime_url=f"http://127.0.0.1:{hanging_port}",
        postgres_url=f"postgresql://a:b@127.0.0.1:{hanging_port}/c",
        redis_url=f"redis://:b@127.0.0.1:{hanging_port}/0",
    )
    assert time.monotonic() - begun < 4
    for name in ("runtime", "postgres", "redis"):
        assert (found[name].health, found[name].detail) == ("unhealthy", "no answer within 1 s")


def test_a_hundred_tenants_that_hang_delay_no_other(
    postgres_server: RunningPostgres, redis_server: RunningRedis, runtime_url: str, hanging_port: int
) -> None:
    """300 hanging looks beside one tenant that is well: it is seen, and the sweep ends by its deadline."""
    hanging = [
        Endpoints(
            tenant_id=uuid4(),
            runtime_url=f"http://127.0.0.1:{hanging_port}",
            postgres_url=f"postgresql://a:b@127.0.0.1:{hanging_port}/c",
            redis_url=f"redis://:b@127.0.0.1:{hanging_port}/0",
            suspect=True,
        )
        for _ in range(100)
    ]
    well = Endpoints(
        tenant_id=uuid4(),
        runtime_url=runtime_url,
        postgres_url=postgres_server.url(),
        redis_url=redis_server.url(),
    )
    begun = time.monotonic()
    looks = looks_take([*hanging, well], deadline_s=4, timeout_s=3)
    assert time.monotonic() - begun < 8
    assert {look.health for look in looks[well.tenant_id]} == {"healthy"}
    others = [look for tenant_id, found in looks.items() if tenant_id != well.tenant_id for look in found]
    assert {look.health for look in others} == {"unhealthy", "unknown"}
    cut = [look for look in others if look.detail == "the sweep had no time left for it"]
    assert cut
    assert {look.health for look in cut} == {"unknown"}, "a lack of time of ours was called a failure"


def test_stores_whose_addresses_no_key_opens_are_unknown(runtime_url: str) -> None:
    found = looked(runtime_url=runtime_url, sealed=True)
    assert {found[name].health for name in ("postgres", "redis", "vector_store")} == {"unknown"}


@pytest.mark.parametrize(
    ("script", "health"),
    [
        ("echo GPU-1", "healthy"),
        ("echo GPU-2", "unhealthy"),
        ("exit 9", "unhealthy"),
        ("sleep 30", "unknown"),
    ],
)
def test_assigned_gpus_are_looked_for_in_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, health: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script.replace('sleep', 'exec sleep')}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert looked(gpus=("GPU-1",))["gpu"].health == health
