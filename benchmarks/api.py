"""Reads of the REST API against the running server, by one client and by four."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import psycopg

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.private import BenchmarkError, PrivateFreehold, answer, freehold_shared
from benchmarks.progress import say

TENANTS = 200
WARM_UP = 10
REQUESTS = 200
CLIENTS = (1, 4)

# Rows, not stacks: the list reads rows, and 200 stacks would not fit the machine. Copies of the real tenant's row,
# whatever its columns, in the lifecycle `requested`, so that no health probe goes looking for their runtimes.
_FILL = """
    INSERT INTO tenants_tenant
    SELECT (
        jsonb_populate_record(
            real,
            jsonb_build_object(
                'id', gen_random_uuid(), 'slug', 'listed-' || number, 'name', 'Listed ' || number,
                'lifecycle', 'requested', 'health', 'unknown', 'runtime_url', '', 'slot', NULL,
                'sealed_secrets', '', 'usage_key_id', NULL, 'created_at', now() - number * interval '1 minute'
            )
        )
    ).*
    FROM tenants_tenant AS real, generate_series(1, %s) AS number
    WHERE real.slug = %s AND real.lifecycle = 'active'
"""


def run() -> Result:
    freehold = freehold_shared()
    _tenants_fill(freehold)
    tenant = freehold.up["tenant"]["slug"]
    with freehold.client() as client:
        listed = answer(client.get("/tenants", params={"limit": TENANTS}))["results"]
        if len(listed) != TENANTS:
            raise BenchmarkError(f"wanted {TENANTS} tenants in the list, got {len(listed)}")
        operation = answer(client.get(f"/tenants/{tenant}"))["stack"]["last_operation"]
    paths = {
        "GET /tenants, page of 50": "/tenants",
        f"GET /tenants, page of {TENANTS}": f"/tenants?limit={TENANTS}",
        "GET /operations/{id}": f"/operations/{operation}",
        "GET /tenants/{slug}/usage-report": f"/tenants/{tenant}/usage-report",
    }
    figures = [
        figure
        for name, path in paths.items()
        for clients in CLIENTS
        for figure in _load(freehold, name, path, clients)
    ]
    facts = {
        "tenants in the database": str(TENANTS),
        "requests": f"{REQUESTS} for each figure after {WARM_UP} unmeasured ones, connections kept alive",
        "server": "one uvicorn process; rate limit off",
    }
    return Result(name="api", figures=figures, facts=facts)


def _tenants_fill(freehold: PrivateFreehold) -> None:
    """Up to TENANTS in the list, which leaves deleted ones out."""
    url = (freehold.home / "secrets" / "database_url").read_text().strip()
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT count(*) FROM tenants_tenant WHERE lifecycle <> 'deprovisioned'"
        ).fetchone()
        connection.execute(_FILL, [TENANTS - (row[0] if row else 0), freehold.up["tenant"]["slug"]])


def _load(freehold: PrivateFreehold, name: str, path: str, clients: int) -> list[Figure]:
    """REQUESTS in all, shared among the clients, each with a connection of its own."""
    together = threading.Barrier(clients + 1)

    def client_run() -> list[float]:
        with freehold.client() as client:
            for _ in range(WARM_UP):
                _timed(client, path)
            together.wait(30)
            return [_timed(client, path) for _ in range(REQUESTS // clients)]

    with ThreadPoolExecutor(clients) as pool:
        futures = [pool.submit(client_run) for _ in range(clients)]
        together.wait(30)
        started = time.monotonic()
        durations = [duration for future in futures for duration in future.result()]
        took = time.monotonic() - started
    label = f"{name}, {clients} client{'s' if clients > 1 else ''}"
    figure = spread(label, "ms", durations)
    say(f"{label}: p50 {figure.p50} ms, p95 {figure.p95} ms")
    rate = single(f"{label}, throughput", "requests/s", len(durations) / took, n=len(durations))
    return [figure, rate] if clients == max(CLIENTS) else [figure]


def _timed(client: httpx.Client, path: str) -> float:
    """Milliseconds until the whole answer is there."""
    started = time.perf_counter()
    response = client.get(path)
    duration = (time.perf_counter() - started) * 1000
    if response.status_code != 200:
        raise BenchmarkError(f"{path} answered {response.status_code}: {response.text[:300]}")
    return duration
