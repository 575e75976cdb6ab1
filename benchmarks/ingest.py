"""Usage events into one Postgres: by the service path, over HTTP, and row by row for comparison; and their reads.

`BENCH_EVENTS` is how many go the service path, 5 million if it is not set. The totals are compared with what was sent,
before and after all of it is sent again.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from benchmarks.figures import Figure, Result
from benchmarks.ingest_http import http_figures
from benchmarks.ingest_naive import naive_figures
from benchmarks.ingest_reads import read_figures
from benchmarks.ingest_senders import service_figures
from benchmarks.private import BenchmarkError
from benchmarks.progress import say
from embedded.databases import database_ensure
from embedded.ports import free_port
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_query,
    postgres_ready,
    postgres_start,
    postgres_stop,
    postgres_url,
)
from embedded.redis import RedisServer, redis_ready, redis_start, redis_stop, redis_url

EVENTS = 5_000_000
SHARED_BUFFERS_MB = 512
#: Beside what `freehold up` sets. A server that takes 50,000 events a second is given room for its log; each commit
#: is on disk before it is answered, as always.
SETTINGS = {
    "max_wal_size": "8GB",
    "min_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_buffers": "64MB",
}


def run() -> Result:
    events = int(os.environ.get("BENCH_EVENTS", EVENTS))
    with redis_private() as redis, database_private("freehold", settings=SETTINGS) as urls:
        url = urls["freehold"]
        django_start(url, redis)
        settings = _durability()
        say(f"Postgres: {settings}; {events} events")
        figures: list[Figure] = [*naive_figures()]
        figures += service_figures(events)
        figures += read_figures()
        figures += http_figures(url, max(20_000, events // 10))
    facts = {
        "postgres": settings,
        "events": "freehold.model.usage.v1 as a runtime writes them: five token meters each, 20 users, 3 agents, "
        "2 models, spread over a month",
        "service path": "from a batch's bytes to the committed answer: batches of 1000, 2 processes, 2 tenants each",
        "HTTP": "2 uvicorn processes behind one port, 4 senders, API key checked and requests counted in Redis",
        "baseline": "the same events decoded once, then get_or_create, create and an F() update for each, by the ORM, "
        "a transaction an event",
    }
    return Result(name="ingest", figures=figures, facts=facts)


@contextmanager
def redis_private() -> Iterator[str]:
    """Where the web processes count requests; its URL."""
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder:
        password = secrets.token_urlsafe(16)
        server = RedisServer(dir=Path(folder), port=free_port(), log_path=Path(folder) / "redis.log")
        redis_start(server, password=password)
        try:
            redis_ready(server, password, 20)
            yield redis_url(server, password)
        finally:
            redis_stop(server, 5)


@contextmanager
def database_private(
    *databases: str, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[dict[str, str]]:
    """A Postgres of its own, configured as `freehold up` configures the control plane's besides `settings`; URLs by
    database."""
    root = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    server = PostgresServer(
        data_dir=root / "postgres",
        port=free_port(),
        log_path=root / "postgres.log",
        max_connections=200,
        shared_buffers_mb=SHARED_BUFFERS_MB,
    )
    password = secrets.token_urlsafe(16)
    try:
        postgres_init(server, password=password)
        postgres_start(server)
        postgres_ready(server, password, 30)
        for name, value in settings.items():
            postgres_query(server, password, f"ALTER SYSTEM SET {name} = '{value}'")
        postgres_stop(server, 10)
        postgres_start(server)
        postgres_ready(server, password, 30)
        for database in databases:
            database_ensure(server, password, database=database)
        yield {database: postgres_url(server, password, database) for database in databases}
    finally:
        postgres_stop(server, 10)
        shutil.rmtree(root, ignore_errors=True)


def django_start(url: str, redis: str) -> None:
    """Django reads its settings once, when it loads: they are set before, and the service imported after."""
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "controlplane.config.settings",
            "DATABASE_URL": url,
            "REDIS_URL": redis,
            "FREEHOLD_SECRET_KEY": secrets.token_urlsafe(48),
            "FREEHOLD_ENCRYPTION_KEYS": secrets.token_urlsafe(48),
            "PULUMI_BACKEND_URL": "file:///dev/null",
        }
    )
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", interactive=False, verbosity=0)


def _durability() -> str:
    """What Postgres itself says; BenchmarkError when a commit would not be on disk."""
    from django.db import connection

    found = {}
    with connection.cursor() as cursor:
        for name in (
            "server_version",
            "fsync",
            "synchronous_commit",
            "full_page_writes",
            "shared_buffers",
            *SETTINGS,
        ):
            cursor.execute(f"SHOW {name}")
            found[name] = str(cursor.fetchone()[0])
    if "off" in (found["fsync"], found["synchronous_commit"], found["full_page_writes"]):
        raise BenchmarkError(f"commits are not durable: {found}")
    return ", ".join(f"{name} {value}" for name, value in found.items())
