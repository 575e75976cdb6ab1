"""Several replicas of one runtime on one database, as in a cluster: what they share, and what scales them."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tenant_runtime.settings import settings_read
from tests.tenant_runtime.support import (
    API_KEY,
    RuntimeProcess,
    runtime_environment,
    runtime_started,
    wait_until,
)

#: What the kubelet puts into every container.
POD = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def _gauge(runtime: RuntimeProcess, name: str) -> int:
    with runtime.http() as http:
        lines = http.get("/metrics").text.splitlines()
    assert f"# TYPE {name} gauge" in lines
    return int(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


def _queued(runtime: RuntimeProcess) -> int:
    return _gauge(runtime, "freehold_runtime_queued_runs")


async def test_a_second_replica_takes_the_queue_that_the_first_reports(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url = new_database()
    environment = runtime_environment(url, RUNTIME_MAX_RUNS="1", **POD)
    with runtime_started(tmp_path, environment | {"HOSTNAME": "runtime-a"}, manifest=test_agents) as first:
        client = first.sdk()
        busy = (await client.threads.create())["thread_id"]
        long = await client.runs.create(busy, "slow", input={"steps": 1, "delay": 60})
        wait_until(lambda: _gauge(first, "freehold_runtime_executing") == 1, 10, "the long run to begin")
        assert _queued(first) == 0
        behind = await client.runs.create(busy, "slow", input={"steps": 1}, multitask_strategy="enqueue")
        later = await client.runs.create(
            (await client.threads.create())["thread_id"], "slow", input={"steps": 1}, after_seconds=600
        )
        threads = [(await client.threads.create())["thread_id"] for _ in range(3)]
        waiting = [await client.runs.create(thread, "slow", input={"steps": 1}) for thread in threads]
        assert _queued(first) == len(waiting), "a run behind its own thread or its hour is not in the queue"
        second_environment = environment | {"HOSTNAME": "runtime-b"}
        with runtime_started(tmp_path, second_environment, manifest=test_agents) as second:
            wait_until(lambda: _queued(first) == 0, 20, "the second replica to take the queue")
            for thread, run in zip(threads, waiting, strict=True):
                await client.runs.join(thread, run["run_id"])
            assert _queued(second) == 0
            with psycopg.connect(url) as conn:
                sources = dict(
                    conn.execute("SELECT id, source FROM usage_outbox WHERE id LIKE '%:run'").fetchall()
                )
            assert {sources[f"{run['run_id']}:run"] for run in waiting} == {"/tenants/acme/runtime/runtime-b"}
            # A cancel that reaches the one replica ends a run of the other.
            assert (await second.sdk(API_KEY).runs.get(busy, long["run_id"]))["status"] == "running"
            await second.sdk(API_KEY).runs.cancel(busy, behind["run_id"])
            await second.sdk(API_KEY).runs.cancel(busy, long["run_id"], wait=True)
            assert (await client.runs.get(busy, long["run_id"]))["status"] == "interrupted"
            assert (await client.runs.get(later["thread_id"], later["run_id"]))["status"] == "pending"


@pytest.mark.parametrize(
    ("environment", "replica"),
    [
        ({}, "r0"),
        ({"HOSTNAME": "laptop"}, "r0"),
        ({**POD, "HOSTNAME": "runtime-6d9f-x2x"}, "runtime-6d9f-x2x"),
        ({**POD, "HOSTNAME": "runtime-6d9f-x2x", "RUNTIME_REPLICA": "blue"}, "blue"),
    ],
)
def test_in_a_pod_a_replica_is_called_as_its_pod(environment: dict[str, str], replica: str) -> None:
    given = {"RUNTIME_DATABASE_URL": "postgresql://u@h/d", "RUNTIME_API_KEY": "k" * 20}
    assert settings_read(given | environment).replica == replica
