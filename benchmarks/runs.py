"""Runs of a graph that does nothing, by our runtime and by others beside it: what a server takes for ten nodes.

A peer that cannot be installed or does not start here is said in the facts, and the others are measured.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.contenders import AEGRA, DEV, Contender, Stores, aegra, bare, langgraph_dev, ours
from benchmarks.figures import Figure, Result, single, spread
from benchmarks.ingest import database_private, redis_private
from benchmarks.private import BenchmarkError
from benchmarks.progress import say
from benchmarks.runs_agents.noop import NODES

WARM = 5
SERIAL = 30
STREAMS = 30
AT_ONCE = 30
ROUNDS = 9
#: For one contender, from its start to its last figure.
DEADLINE_S = 420
DATABASES = ("ours1", "ours2", "bare", "aegra")


@dataclass(frozen=True)
class Entry:
    """`what` is said in the facts; a contender that is `own` must not fail."""

    name: str
    what: str
    opened: Callable[[Stores], AbstractAsyncContextManager[Contender]]
    own: bool = False


ENTRIES = (
    Entry(
        "freehold", "tenant_runtime serve, one worker, its defaults, state sealed, Postgres", ours, own=True
    ),
    Entry("freehold, two workers", "the same with --workers 2", partial(ours, workers=2), own=True),
    Entry(
        "LangGraph, no server", "AsyncPostgresSaver with a pool, in the client's own process", bare, own=True
    ),
    Entry("langgraph dev", f"langgraph-cli {DEV.version}, in memory: nothing is on a disk", langgraph_dev),
    Entry("Aegra", f"aegra-api {AEGRA.version}, Redis broker on (its leases), Postgres", aegra),
)


def run() -> Result:
    figures: list[Figure] = []
    facts = {
        "graph": f"{NODES} nodes that do nothing, langgraph {version('langgraph')} for all, durability sync",
        "threads": "a thread of its own for each run, made before and not timed",
        "clients": "langgraph-sdk on the same machine, one process",
    }
    with (
        tempfile.TemporaryDirectory(prefix="freehold-bench-") as folder,
        redis_private() as redis,
        database_private(*DATABASES) as databases,
    ):
        for url in databases.values():
            with psycopg.connect(url, autocommit=True) as conn:
                conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
        stores = Stores(databases, redis, Path(folder))
        for entry in ENTRIES:
            say(f"{entry.name}: {SERIAL} runs, {STREAMS} streams, {ROUNDS} times {AT_ONCE} runs at once")
            try:
                measured, remark = asyncio.run(_measured(entry, stores))
                figures += measured
                facts[entry.name] = entry.what + remark
            except Exception as error:
                if entry.own:
                    raise
                say(f"{entry.name}: not measured: {type(error).__name__}: {error}")
                why = str(error) if isinstance(error, BenchmarkError) else type(error).__name__
                facts[entry.name] = f"not measured: {why}"
    return Result(name="runs", figures=figures, facts=facts)


async def _measured(entry: Entry, stores: Stores) -> tuple[list[Figure], str]:
    """The figures, and what was wrong with a peer's streams."""
    async with asyncio.timeout(DEADLINE_S), entry.opened(stores) as contender:
        for _ in range(WARM):
            await _wait(contender, await contender.thread())
        serial = [await _wait(contender, await contender.thread()) for _ in range(SERIAL)]
        streams = [await _stream(contender, await contender.thread()) for _ in range(STREAMS)]
        await _at_once(contender)  # opens the connections that the rounds use
        rates = [await _at_once(contender) for _ in range(ROUNDS)]
    short = sum(updates != NODES for _, updates in streams)
    if short and entry.own:
        raise BenchmarkError(f"{short} of {STREAMS} streams did not hold an update of each node")
    rate = single(
        f"{entry.name}: runs.wait, {AT_ONCE} at once, median of {ROUNDS} rounds",
        "runs/s",
        sorted(rates)[ROUNDS // 2],
        n=AT_ONCE * ROUNDS,
    )
    figures = [
        spread(f"{entry.name}: runs.wait, one after another", "ms", serial),
        spread(f"{entry.name}: runs.stream, request to first event", "ms", [first for first, _ in streams]),
        rate,
    ]
    return figures, f"; {short} of {STREAMS} streams lacked updates" if short else ""


async def _wait(contender: Contender, thread: str) -> float:
    """Milliseconds to the values of the run's end, which must be what ten nodes give."""
    started = time.perf_counter()
    values = await contender.wait(thread, {"count": 0})
    took = (time.perf_counter() - started) * 1000
    if values.get("count") != NODES:
        raise BenchmarkError(f"the run gave something else than {NODES} steps: {str(values)[:200]}")
    return took


async def _stream(contender: Contender, thread: str) -> tuple[float, int]:
    """Milliseconds to the first event, and how many updates there were; the stream is read to its end."""
    started = time.perf_counter()
    first, updates = 0.0, 0
    async for event in contender.stream(thread, {"count": 0}):
        first = first or (time.perf_counter() - started) * 1000
        updates += event == "updates"
    if not first:
        raise BenchmarkError("the stream held no event")
    return first, updates


async def _at_once(contender: Contender) -> float:
    """Runs a second."""
    threads = [await contender.thread() for _ in range(AT_ONCE)]
    started = time.perf_counter()
    await asyncio.gather(*(_wait(contender, thread) for thread in threads))
    return AT_ONCE / (time.perf_counter() - started)
