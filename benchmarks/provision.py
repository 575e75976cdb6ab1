"""Tenants on the local target with the real Pulumi engine: created, deleted, one by one and twenty at once."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from benchmarks.figures import Figure, Result, single, spread
from benchmarks.private import BenchmarkError, answer, freehold_shared, operation_wait
from benchmarks.progress import say
from embedded.processes import processes_marked

ONE_BY_ONE = 5
AT_ONCE = 20
#: FREEHOLD_MAX_OPERATIONS as `freehold up` has it.
OPERATIONS = 4
_SAMPLE_S = 0.1
_MIB = 1024 * 1024


def run() -> Result:
    freehold = freehold_shared()
    cold_s = freehold.up_cold_s
    say("freehold down and up again, with data")
    down_s = freehold.command("down")
    warm_s = freehold.command("up")
    figures = [
        single("`freehold up`, no data: services, tenant acme, agent run, invoice preview", "s", cold_s),
        single("`freehold down`, one tenant", "s", down_s),
        single("`freehold up`, data kept", "s", warm_s),
    ]
    with freehold.client() as client:
        figures += _one_by_one(client)
        figures += _memory(client, freehold.home)
        figures += _at_once(client, freehold.home)
    facts = {
        "plan": "starter",
        "target": "local: Postgres, Redis, Postgres with pgvector, runtime for each tenant",
        "operations at once": "4 (FREEHOLD_MAX_OPERATIONS)",
    }
    return Result(name="provision", figures=figures, facts=facts)


def _create(client: httpx.Client, slug: str) -> str:
    body = {"slug": slug, "name": slug, "plan": "starter", "target": "local"}
    return str(answer(client.post("/tenants", json=body))["operation"]["id"])


def _delete(client: httpx.Client, slug: str) -> str:
    return str(answer(client.delete(f"/tenants/{slug}"))["operation"]["id"])


def _active_demand(client: httpx.Client, slug: str) -> None:
    lifecycle = answer(client.get(f"/tenants/{slug}"))["lifecycle"]
    if lifecycle != "active":
        raise BenchmarkError(f"{slug} is {lifecycle} after its operation succeeded")


def _one_by_one(client: httpx.Client) -> list[Figure]:
    created, deleted = [], []
    slugs = [f"serial-{number}" for number in range(ONE_BY_ONE)]
    for slug in slugs:
        started = time.monotonic()
        operation_wait(client, _create(client, slug))
        _active_demand(client, slug)
        created.append(time.monotonic() - started)
        say(f"{slug} active after {created[-1]:.1f} s")
    for slug in slugs:
        started = time.monotonic()
        operation_wait(client, _delete(client, slug))
        deleted.append(time.monotonic() - started)
        say(f"{slug} deleted after {deleted[-1]:.1f} s")
    return [
        spread("create one tenant, request to active", "s", created),
        spread("delete one tenant, request to gone", "s", deleted),
    ]


def _memory(client: httpx.Client, home: Path) -> list[Figure]:
    """Of a tenant by itself: looking at every process takes CPU that the timed operations should have."""
    say("peak memory of one provision operation")
    operation_id = _create(client, "weighed")
    with _peaks(str(home / "operations" / operation_id)) as peaks:
        operation_wait(client, operation_id)
    operation_wait(client, _delete(client, "weighed"))
    if not peaks.samples:
        raise BenchmarkError("no process of the operation was seen")
    name = "peak memory of one provision (runner, Pulumi CLI, provider)"
    return [
        single(f"{name}, sum of resident sizes", "MiB", peaks.rss / _MIB, n=peaks.samples),
        single(f"{name}, shared pages split", "MiB", peaks.pss / _MIB, n=peaks.samples),
    ]


class _Peaks:
    rss = 0
    pss = 0
    samples = 0

    def look(self, mark: str) -> None:
        rss = pss = 0
        for identity in processes_marked(mark):
            try:
                memory = psutil.Process(identity.pid).memory_full_info()
            except psutil.Error:
                continue
            rss, pss = rss + memory.rss, pss + memory.pss
        self.samples += rss > 0
        self.rss, self.pss = max(self.rss, rss), max(self.pss, pss)


@contextmanager
def _peaks(mark: str, every_s: float = _SAMPLE_S) -> Iterator[_Peaks]:
    """Looks at the processes with that mark until the block ends."""
    peaks, over = _Peaks(), threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            peaks.look(mark)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peaks
    finally:
        over.set()
        watcher.join()


def _at_once(client: httpx.Client, home: Path) -> list[Figure]:
    slugs = [f"together-{number}" for number in range(AT_ONCE)]
    say(f"{AT_ONCE} tenants at once")
    started = time.monotonic()
    # Seldom, since each look at every process takes CPU from what is measured.
    with _peaks(str(home / "operations"), every_s=2.0) as peaks:
        for operation_id in [_create(client, slug) for slug in slugs]:
            operation_wait(client, operation_id, timeout_s=600)
    created_s = time.monotonic() - started
    for slug in slugs:
        _active_demand(client, slug)
    say(f"all active after {created_s:.1f} s; deleting them")
    started = time.monotonic()
    for operation_id in [_delete(client, slug) for slug in slugs]:
        operation_wait(client, operation_id, timeout_s=600)
    deleted_s = time.monotonic() - started
    return [
        single(
            f"create {AT_ONCE} tenants requested at once, until all are active", "s", created_s, n=AT_ONCE
        ),
        single(
            f"peak memory of an operation while {OPERATIONS} run at once, shared pages split",
            "MiB",
            peaks.pss / _MIB / OPERATIONS,
            n=peaks.samples,
        ),
        single(f"delete {AT_ONCE} tenants requested at once, until all are gone", "s", deleted_s, n=AT_ONCE),
    ]
