"""Usage events through the ingest service into a real Postgres, by one connection."""

import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.private import BenchmarkError
from benchmarks.progress import say
from embedded.databases import database_ensure
from embedded.ports import free_port
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_ready,
    postgres_start,
    postgres_stop,
    postgres_url,
)

if TYPE_CHECKING:
    from contracts.usage import IngestAnswer

#: Events in a batch -> batches measured.
BATCHES = {100: 200, 1000: 30}
#: Every tenth batch is sent again, as a sender does that did not get its answer.
REPLAY_EVERY = 10
WARM_UP = 3
_SLUG = "bench"


def run() -> Result:
    with _postgres() as url:
        _django_start(url)
        settings = _durability()
        say(f"Postgres: {settings}")
        figures = [figure for size, batches in BATCHES.items() for figure in _ingest(size, batches)]
    facts = {
        "postgres": settings,
        "events": "freehold.model.usage.v1: five token meters each, 20 users, 3 agents, 2 models",
        "duplicates": f"every {REPLAY_EVERY}th batch is sent a second time, unchanged",
    }
    return Result(name="ingest", figures=figures, facts=facts)


@contextmanager
def _postgres() -> Iterator[str]:
    """A Postgres of its own, configured as `freehold up` configures the control plane's; its URL."""
    root = Path(tempfile.mkdtemp(prefix="freehold-bench-"))
    server = PostgresServer(
        data_dir=root / "postgres",
        port=free_port(),
        log_path=root / "postgres.log",
        max_connections=200,
        shared_buffers_mb=64,
    )
    password = secrets.token_urlsafe(16)
    try:
        postgres_init(server, password=password)
        postgres_start(server)
        postgres_ready(server, password, 30)
        database_ensure(server, password, database="freehold")
        yield postgres_url(server, password, "freehold")
    finally:
        postgres_stop(server, 10)
        shutil.rmtree(root, ignore_errors=True)


def _django_start(url: str) -> None:
    """Django reads its settings once, when it loads: they are set before, and the service imported after."""
    os.environ.update(
        {
            "DJANGO_SETTINGS_MODULE": "controlplane.config.settings",
            "DATABASE_URL": url,
            "REDIS_URL": "redis://127.0.0.1:1/0",  # ingest asks no Redis
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
        for name in ("server_version", "fsync", "synchronous_commit"):
            cursor.execute(f"SHOW {name}")
            found[name] = str(cursor.fetchone()[0])
    if found["fsync"] != "on" or found["synchronous_commit"] != "on":
        raise BenchmarkError(f"commits are not durable: {found}")
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _ingest(size: int, batches: int) -> list[Figure]:
    tenant_id = uuid4()
    for number in range(WARM_UP):
        _timed(tenant_id, _batch(f"warm-{size}-{number}", size))
    fresh: list[float] = []
    replayed: list[float] = []
    sent = duplicates = accepted = 0
    for number in range(batches):
        events = _batch(f"{size}-{number}", size)
        repeats = 2 if number % REPLAY_EVERY == 0 else 1
        for repeat in range(repeats):
            took, answer = _timed(tenant_id, events)
            (replayed if repeat else fresh).append(took)
            sent, duplicates, accepted = (
                sent + size,
                duplicates + answer.duplicate,
                accepted + answer.accepted,
            )
            _expect(answer, size, repeated=bool(repeat))
    say(
        f"batches of {size}: {accepted / sum(fresh):.0f} new events/s, {duplicates} of {sent} were duplicates"
    )
    label = f"batches of {size}"
    return [
        single(f"{label}: new events", "events/s", accepted / sum(fresh), n=accepted),
        spread(f"{label}: one batch of new events", "ms", [took * 1000 for took in fresh]),
        single(
            f"{label}: replayed events, all answered duplicate",
            "events/s",
            duplicates / sum(replayed),
            n=duplicates,
        ),
        single(f"{label}: share of duplicates among the events sent", "%", 100 * duplicates / sent, n=sent),
    ]


def _timed(tenant_id: UUID, events: list[dict[str, Any]]) -> tuple[float, "IngestAnswer"]:
    """Seconds from the parsed events to the answer, committed."""
    from billing.metering.services import usage_ingest

    started = time.perf_counter()
    answer = usage_ingest(tenant_id=tenant_id, subject=_SLUG, events=events, received_at=datetime.now(UTC))
    return time.perf_counter() - started, answer


def _expect(answer: "IngestAnswer", size: int, *, repeated: bool) -> None:
    if (answer.duplicate if repeated else answer.accepted) != size:
        raise BenchmarkError(f"of {size} events {answer.accepted} accepted, {answer.duplicate} duplicate")


def _batch(name: str, size: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    return [
        {
            "specversion": "1.0",
            "id": f"{name}-{number}",
            "source": f"/tenants/{_SLUG}/runtime/0",
            "type": "freehold.model.usage.v1",
            "subject": _SLUG,
            "time": now,
            "data": {
                "run_id": f"{name}-{number // 3}",
                "step": number % 3,
                "user": f"user-{number % 20}",
                "agent": f"agent-{number % 3}",
                "agent_version": "1",
                "model": f"model-{number % 2}",
                "input_tokens": str(1000 + number),
                "cached_input_tokens": "200",
                "cache_write_tokens": "10",
                "output_tokens": str(100 + number % 50),
                "reasoning_tokens": "20",
            },
        }
        for number in range(size)
    ]
