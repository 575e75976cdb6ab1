"""A worker that dies, hangs or drains in mid-run: another one goes on from the last checkpoint, and only that one."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from tests.tenant_runtime.support import (
    RuntimeProcess,
    WorkerProcess,
    journal_read,
    runtime_environment,
    runtime_started,
    wait_until,
    worker_started,
)

#: The promise is five seconds on a quiet machine; a busy one gets some more.
TAKEOVER_S = 8.0


@contextmanager
def _served(
    folder: Path, url: str, agents: Path, *, workers: int, **environment: str
) -> Iterator[tuple[RuntimeProcess, list[WorkerProcess]]]:
    """A server with one executor, which `_busy` takes, and workers beside it."""
    base = runtime_environment(url, **environment)
    with ExitStack() as stack:
        one = base | {"RUNTIME_MAX_RUNS": "1", "RUNTIME_DRAIN_S": "0"}
        server = stack.enter_context(runtime_started(folder, one, manifest=agents))
        started = [stack.enter_context(worker_started(folder, base, manifest=agents)) for _ in range(workers)]
        yield server, started


async def _busy(server: RuntimeProcess, folder: Path) -> None:
    """Takes the server's only executor, so that everything after it is the workers'."""
    client = server.sdk()
    for number in range(50):
        journal = folder / f"busy-{number}"
        thread = (await client.threads.create())["thread_id"]
        given = {"journal": str(journal), "steps": 1, "delay": 60}
        run = await client.runs.create(thread, "steady", input=given)
        wait_until(partial(journal_read, journal), 10, "the run to begin")
        if journal_read(journal)[-1]["pid"] == server.process.pid:
            return
        await client.runs.cancel(thread, run["run_id"], wait=True)
    raise AssertionError("the server never claimed")


def _worker_of(workers: list[WorkerProcess], journal: Path) -> WorkerProcess:
    wait_until(lambda: journal_read(journal), 10, "the run to begin")
    return next(worker for worker in workers if worker.process.pid == journal_read(journal)[0]["pid"])


def _steps(journal: Path, what: str = "leave") -> list[int]:
    return [line["count"] for line in journal_read(journal) if line["what"] == what]


def _rows(url: str, statement: str, *values: Any) -> list[Any]:
    with psycopg.connect(url) as conn:
        return conn.execute(statement, values).fetchall()


async def test_a_killed_workers_run_goes_on_and_its_stream_shows_each_event_once(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    with _served(tmp_path, url, test_agents, workers=2) as (server, workers):
        await _busy(server, tmp_path)
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        given = {"journal": str(journal), "steps": 14, "delay": 0.3}
        run = await client.runs.create(thread, "steady", input=given, stream_mode=["updates", "custom"])
        seen: list[Any] = []

        async def follow() -> None:
            async for part in client.runs.join_stream(thread, run["run_id"]):
                seen.append(part)

        following = asyncio.create_task(follow())
        victim = _worker_of(workers, journal)
        wait_until(lambda: len(_steps(journal)) >= 3, 10, "some steps")
        victim.kill()
        killed = time.time()
        values = await client.runs.join(thread, run["run_id"])
        assert values["messages"][-1]["content"] == "done after 14"
        lines = journal_read(journal)
        first_after = next(line for line in lines if line["attempt"] == 2)
        assert first_after["pid"] != victim.process.pid
        assert first_after["at"] - killed < TAKEOVER_S
        finished = _steps(journal)
        assert finished == sorted(finished)
        assert len(finished) <= 15, "at most the step it died in was done again"
        await asyncio.wait_for(following, 10)
        numbers = [
            row[0]
            for row in _rows(url, "SELECT seq FROM run_events WHERE run_id = %s ORDER BY seq", run["run_id"])
        ]
        assert numbers == list(range(1, len(numbers) + 1))
        assert [int(part.id) for part in seen] == numbers, "each event once, in order, through the takeover"
        assert [part.data["attempt"] for part in seen if part.event == "metadata"] == [1, 2]
        assert seen[-1].event == "end"
        ((losses, spent),) = _rows(url, "SELECT losses, spent_s FROM runs WHERE run_id = %s", run["run_id"])
        assert losses == 1
        second = [line["at"] for line in lines if line["attempt"] == 2]
        assert second[-1] - second[0] < spent < 14 * 0.3 + 10, "the lost attempt counts to its last heartbeat"


async def test_a_worker_paused_past_its_lease_writes_nothing_when_it_wakes(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url = new_database()
    with _served(tmp_path, url, test_agents, workers=2) as (server, workers):
        await _busy(server, tmp_path)
        client = server.sdk()
        journals = [tmp_path / f"journal-{number}" for number in range(6)]
        runs = []
        for journal in journals:
            thread = (await client.threads.create())["thread_id"]
            given = {"journal": str(journal), "steps": 60, "delay": 0.2}
            runs.append((thread, await client.runs.create(thread, "steady", input=given)))
        by_worker = {
            id(worker): [j for j in journals if _worker_of(workers, j) is worker] for worker in workers
        }
        paused = max(workers, key=lambda worker: len(by_worker[id(worker)]))
        theirs = by_worker[id(paused)]
        assert len(theirs) >= 3
        paused.signal(signal.SIGSTOP)
        await asyncio.sleep(0.2)
        for journal in theirs:
            wait_until(lambda j=journal: journal_read(j)[-1]["attempt"] == 2, 15, "the takeover")
        woken_at = time.time()
        paused.signal(signal.SIGCONT)
        await asyncio.sleep(3)
        # A step's line is the agent's own: the paused worker may write one more of them, and nothing to the database.
        for journal, (_, run) in zip(journals, runs, strict=True):
            if journal not in theirs:
                continue
            late = [
                line
                for line in journal_read(journal)
                if line["pid"] == paused.process.pid and line["at"] > woken_at
            ]
            assert len(late) <= 1, "it stops at its first write"
            (token,) = _rows(
                url, "SELECT lease_token, attempt, status FROM runs WHERE run_id = %s", run["run_id"]
            )
            assert token[:2] == (2, 2)
            attempts = _rows(
                url, "SELECT (metadata->>'run_attempt')::int, metadata->>'step' FROM checkpoints "
                "WHERE metadata->>'run_id' = %s ORDER BY checkpoint_id", run["run_id"],
            )  # fmt: skip
            order = [attempt for attempt, _ in attempts]
            assert order == sorted(order), "no checkpoint of the first attempt after one of the second"
            steps = [int(step) for _, step in attempts]
            assert steps == list(range(steps[0], steps[0] + len(steps))), "one line of checkpoints, no fork"
            numbers = [
                r[0]
                for r in _rows(
                    url, "SELECT seq FROM run_events WHERE run_id = %s ORDER BY seq", run["run_id"]
                )
            ]
            assert numbers == list(range(1, len(numbers) + 1))
        for thread, run in runs:
            await client.runs.cancel(thread, run["run_id"], wait=True)


async def test_a_run_that_kills_every_worker_ends_after_its_attempts(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    environment = runtime_environment(url, RUNTIME_MAX_ATTEMPTS="2")
    with runtime_started(tmp_path, environment, manifest=test_agents) as server:
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread, "fatal", input={"journal": str(journal)})
        server.process.wait(10)
    # It may die before it has said that it is ready.
    with suppress(AssertionError), worker_started(tmp_path, environment, manifest=test_agents) as second:
        second.process.wait(20)
    with runtime_started(tmp_path, environment, manifest=test_agents) as server, server.http() as http:
        place = f"/threads/{thread}/runs/{run['run_id']}"
        wait_until(lambda: http.get(place).json()["status"] == "error", 15, "the run to be given up")
        error = http.get(place).json()["error"]
        assert error["code"] == "worker_lost"
        assert error["detail"].startswith("2 workers in a row ended")
        assert [line["attempt"] for line in journal_read(journal)] == [1, 2]
        stream = http.get(f"{place}/stream").text
        assert stream.rstrip().splitlines()[-2] == "event: end"
        assert "event: error" in stream


async def test_what_runs_when_the_drain_is_over_goes_on_elsewhere_at_once(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    with _served(tmp_path, url, test_agents, workers=2, RUNTIME_DRAIN_S="1") as (server, workers):
        await _busy(server, tmp_path)
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        given = {"journal": str(journal), "steps": 12, "delay": 0.4}
        run = await client.runs.create(thread, "steady", input=given)
        leaving = _worker_of(workers, journal)
        leaving.signal(signal.SIGTERM)
        assert leaving.process.wait(15) == 0
        ended = time.time()
        values = await client.runs.join(thread, run["run_id"])
        assert values["messages"][-1]["content"] == "done after 12"
        after = next(line for line in journal_read(journal) if line["attempt"] == 2)
        assert after["at"] - ended < 2, "nobody waited for a lease to run out"
        assert _rows(url, "SELECT losses FROM runs WHERE run_id = %s", run["run_id"]) == [(0,)]
        assert len(_steps(journal)) <= 13


async def test_a_server_that_only_serves_leaves_its_runs_to_a_worker(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    journal, environment = tmp_path / "journal", runtime_environment(new_database())
    with runtime_started(tmp_path, environment | {"RUNTIME_MAX_RUNS": "0"}, manifest=test_agents) as server:
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        run = await client.runs.create(thread, "steady", input={"journal": str(journal), "steps": 1})
        await asyncio.sleep(2)
        assert (await client.runs.get(thread, run["run_id"]))["status"] == "pending"
        with worker_started(tmp_path, environment, manifest=test_agents) as worker:
            values = await client.runs.join(thread, run["run_id"])
            assert values["messages"][-1]["content"] == "done after 1"
            assert {line["pid"] for line in journal_read(journal)} == {worker.process.pid}


async def test_a_lone_server_that_drains_leaves_its_run_pending(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    environment = runtime_environment(url, RUNTIME_DRAIN_S="1")
    with runtime_started(tmp_path, environment, manifest=test_agents) as server:
        client = server.sdk()
        thread = (await client.threads.create())["thread_id"]
        given = {"journal": str(journal), "steps": 20, "delay": 0.3}
        run = await client.runs.create(thread, "steady", input=given)
        wait_until(lambda: _steps(journal), 10, "a step")
        begun = time.monotonic()
        os.kill(server.process.pid, signal.SIGTERM)
        assert server.process.wait(15) == 0
        assert time.monotonic() - begun < 8
    assert _rows(url, "SELECT status, error_code FROM runs WHERE run_id = %s", run["run_id"]) == [
        ("pending", None)
    ]
    with runtime_started(tmp_path, environment, manifest=test_agents) as server:
        values = await server.sdk().runs.join(thread, run["run_id"])
        assert values["messages"][-1]["content"] == "done after 20"
        assert (await server.sdk().threads.get(thread))["status"] == "idle"
