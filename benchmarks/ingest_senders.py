"""The service path: several processes, each with a connection and tenants of its own, into one Postgres."""

import multiprocessing
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from typing import Any

from benchmarks.figures import Figure, percentile, single, spread
from benchmarks.ingest_events import BATCH, METER, MONTH, NEXT_MONTH, Stream
from benchmarks.private import BenchmarkError
from benchmarks.progress import say

PROCESSES = 2
TENANTS_EACH = 2
#: One event after the other beside the load, and asked for until it shows.
PROBES = 100
_SPAWN = multiprocessing.get_context("spawn")


def streams_of(events: int) -> list[Stream]:
    tenants = PROCESSES * TENANTS_EACH
    return [Stream(f"tenant-{number}", max(1, events // BATCH // tenants)) for number in range(tenants)]


def service_figures(events: int) -> list[Figure]:
    streams = streams_of(events)
    sent = sum(stream.batches for stream in streams) * BATCH
    took, durations, _ = send_all(streams, "accepted")
    totals_check(streams)
    say(f"service path: {sent / took:.0f} events/s over {sent}, totals exact")
    again, _, _ = send_all(streams, "duplicate")
    totals_check(streams)
    say(f"replay: {sent / again:.0f} events/s, totals unchanged")
    loaded = [
        Stream(f"load-{number}", max(1, events // 10 // BATCH // len(streams)))
        for number in range(len(streams))
    ]
    _, _, visible = send_all(loaded, "accepted", probing=True)
    seen = "event to visible in a query, under load"
    # Of fewer, the 99th percentile would be the maximum by another name.
    enough = len(visible) >= PROBES
    return [
        single("service path: new events", "events/s", sent / took, n=sent),
        spread("service path: one batch of 1000", "ms", durations),
        single("service path: all of it again, all answered duplicate", "events/s", sent / again, n=sent),
        spread(seen, "ms", visible),
        *([single(f"{seen}, p99", "ms", percentile(visible, 0.99), n=len(visible))] if enough else []),
    ]


def send_all(
    streams: Sequence[Stream], outcome: str, *, probing: bool = False
) -> tuple[float, list[float], list[float]]:
    """Seconds for all of it, milliseconds of each batch, and of each probe until it was visible."""
    shares = [list(streams[number::PROCESSES]) for number in range(PROCESSES)]
    together = _SPAWN.Barrier(PROCESSES + 1)
    answers: Queue[Any] = _SPAWN.Queue()
    senders = [_SPAWN.Process(target=_send, args=(share, outcome, together, answers)) for share in shares]
    for sender in senders:
        sender.start()
    together.wait(120)
    started = time.perf_counter()
    visible = _probe(senders) if probing else []
    found = [answers.get(timeout=3600) for _ in senders]
    took = max(end for end, _ in found) - started
    for sender in senders:
        sender.join()
    problems = [problem for _, problem in found if isinstance(problem, str)]
    if problems:
        raise BenchmarkError(problems[0])
    return took, [duration for _, durations in found for duration in durations], visible


def _send(streams: list[Stream], outcome: str, together: Barrier, answers: "Queue[Any]") -> None:
    """A sender's process. Its tenants take turns."""
    import django

    django.setup()
    from django.db import connection

    connection.ensure_connection()
    durations: list[float] = []
    problem: str | None = None
    together.wait(120)
    try:
        for number in range(max(stream.batches for stream in streams)):
            for stream in streams:
                body = stream.body(number)
                started = time.perf_counter()
                counted = _ingest(stream, body, outcome)
                durations.append((time.perf_counter() - started) * 1000)
                if counted != BATCH:
                    raise BenchmarkError(f"of {BATCH} events {counted} were {outcome}")
    except Exception as error:  # told by the parent, which waits for an answer
        problem = f"{type(error).__name__}: {error}"
    # The clock of perf_counter is the machine's, so the parent can compare it with its own.
    answers.put((time.perf_counter(), problem or durations))


def _ingest(stream: Stream, body: bytes, outcome: str) -> int:
    from billing.metering.decoding import batch_decode
    from billing.metering.services import usage_ingest

    answer = usage_ingest(
        tenant_id=stream.tenant_id,
        subject=stream.slug,
        events=batch_decode(body),
        received_at=datetime.now(UTC),
    )
    return int(getattr(answer, outcome))


def totals_check(streams: Sequence[Stream]) -> None:
    from billing.metering.selectors import usage_totals

    for stream in streams:
        totals = usage_totals(
            tenant_id=stream.tenant_id, start=MONTH, end=NEXT_MONTH, as_of=datetime.now(UTC)
        )
        found = sum(total.value for total in totals if total.meter == METER)
        if found != stream.total:
            raise BenchmarkError(f"{stream.slug}: {found} tokens counted, {stream.total} sent")


def _probe(senders: Sequence[Any]) -> list[float]:
    """Milliseconds from sending one event to a query that shows it, while the senders send."""
    from billing.metering.selectors import usage_query

    stream, found = Stream("probe", PROBES), []
    for number in range(PROBES):
        if not any(sender.is_alive() for sender in senders):
            break
        started = time.perf_counter()
        _ingest(stream, stream.body(number), "accepted")
        wanted = Stream("probe", number + 1).total
        while True:
            answer = usage_query(
                tenant_id=stream.tenant_id, meter=METER, start=MONTH, end=NEXT_MONTH, window="month",
                as_of=datetime.now(UTC),
            )  # fmt: skip
            if answer["results"] and int(answer["results"][0]["value"]) >= wanted:
                break
        found.append((time.perf_counter() - started) * 1000)
    return found
