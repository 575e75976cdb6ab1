"""Usage events end to end: HTTP, API key, rate limit, several web processes, one Postgres."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import httpx

from benchmarks.figures import Figure, single, spread
from benchmarks.ingest_events import BATCH, METER, MONTH, NEXT_MONTH, Stream
from benchmarks.private import ROOT, BenchmarkError
from benchmarks.progress import say
from embedded.ports import free_port

WORKERS = 2
SENDERS = 4
_SPAWN = multiprocessing.get_context("spawn")


def http_figures(database_url: str, events: int) -> list[Figure]:
    streams = [Stream(f"http-{number}", max(1, events // BATCH // SENDERS)) for number in range(SENDERS)]
    sent = sum(stream.batches for stream in streams) * BATCH
    token, tenants = _house(streams)
    with _server(database_url) as url:
        took, durations = _send_all(url, token, streams, "accepted", {})
        _totals_check(tenants, streams)
        say(f"HTTP: {sent / took:.0f} events/s over {sent}, totals exact")
        again, _ = _send_all(url, token, streams, "duplicate", {"Idempotency-Key": "again"})
        _totals_check(tenants, streams)
    return [
        single("HTTP: new events", "events/s", sent / took, n=sent),
        spread("HTTP: one request of 1000 events", "ms", durations),
        single("HTTP: all of it again, each under an Idempotency-Key", "events/s", sent / again, n=sent),
    ]


def _house(streams: list[Stream]) -> tuple[str, dict[str, Any]]:
    """A team, its tenants and a key that may write for them."""
    from controlplane.accounts.selectors import principal_of_token
    from controlplane.accounts.services import api_key_create, team_create
    from controlplane.core import clock
    from controlplane.tenants.services import tenant_create

    now = clock.now()
    team = team_create(name="Benchmark", actor="benchmark", now=now)
    scopes = ["usage:write", "tenants:write", "tenants:read"]
    _, token = api_key_create(team_id=team.id, name="benchmark", scopes=scopes, actor="benchmark", now=now)
    principal = principal_of_token(token=token, now=now)
    if principal is None:
        raise BenchmarkError("the key just made is not known")
    tenants = {}
    for stream in streams:
        tenant, _ = tenant_create(
            principal=principal, slug=stream.slug, name=stream.slug, plan="starter", target="local", now=now
        )
        tenants[stream.slug] = tenant.id
    return token, tenants


@contextmanager
def _server(database_url: str) -> Iterator[str]:
    """Web processes as `freehold up` starts one; everything else they need is in the environment."""
    with tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder:
        port = free_port()
        environment = {
            **os.environ,
            "DATABASE_URL": database_url,
            "FREEHOLD_HOME": folder,
            "FREEHOLD_PORT": str(port),
            "FREEHOLD_RATE_LIMIT_PER_MINUTE": "1000000",
        }
        words = f"-m uvicorn controlplane.config.asgi:application --host 127.0.0.1 --port {port} --workers {WORKERS}"
        argv = [
            sys.executable,
            *words.split(),
            "--no-access-log",
            "--lifespan",
            "off",
            "--log-level",
            "warning",
        ]
        with (Path(folder) / "web.log").open("wb") as log:
            web = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            _ready(url, web, Path(folder) / "web.log")
            yield url
        finally:
            web.terminate()
            web.wait(20)


def _ready(url: str, web: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and web.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise BenchmarkError(f"the web processes did not start: {log.read_text(errors='replace')[-800:]}")


def _send_all(
    url: str, token: str, streams: list[Stream], outcome: str, headers: dict[str, str]
) -> tuple[float, list[float]]:
    together = _SPAWN.Barrier(len(streams) + 1)
    answers: Queue[Any] = _SPAWN.Queue()
    senders = [
        _SPAWN.Process(target=_send, args=(url, token, stream, outcome, headers, together, answers))
        for stream in streams
    ]
    for sender in senders:
        sender.start()
    together.wait(120)
    started = time.perf_counter()
    found = [answers.get(timeout=3600) for _ in senders]
    for sender in senders:
        sender.join()
    problems = [problem for _, problem in found if isinstance(problem, str)]
    if problems:
        raise BenchmarkError(problems[0])
    return max(end for end, _ in found) - started, [
        duration for _, durations in found for duration in durations
    ]


def _send(
    url: str,
    token: str,
    stream: Stream,
    outcome: str,
    headers: dict[str, str],
    together: Barrier,
    answers: "Queue[Any]",
) -> None:
    problem, durations = None, []
    sent = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents-batch+json"}
    with httpx.Client(timeout=60) as client:
        together.wait(120)
        for number in range(stream.batches):
            own = {name: f"{value}-{stream.slug}-{number}" for name, value in headers.items()}
            started = time.perf_counter()
            answer = client.post(
                f"{url}/api/v1/usage/events", content=stream.body(number), headers={**sent, **own}
            )
            durations.append((time.perf_counter() - started) * 1000)
            if answer.status_code != 200 or answer.json()[outcome] != BATCH:
                problem = f"{answer.status_code}: {answer.text[:300]}"
                break
    answers.put((time.perf_counter(), problem or durations))


def _totals_check(tenants: dict[str, Any], streams: list[Stream]) -> None:
    from billing.metering.selectors import usage_totals

    for stream in streams:
        totals = usage_totals(
            tenant_id=tenants[stream.slug], start=MONTH, end=NEXT_MONTH, as_of=datetime.now(UTC)
        )
        found = sum(total.value for total in totals if total.meter == METER)
        if found != stream.total:
            raise BenchmarkError(f"{stream.slug}: {found} tokens counted, {stream.total} sent")
