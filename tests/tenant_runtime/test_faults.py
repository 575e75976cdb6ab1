"""What breaks, breaks alone: Redis gone, the control plane gone, the process killed, a hostile row."""

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path

import ormsgpack
import psycopg
import pytest

from embedded.ports import free_port
from embedded.redis import RedisServer, redis_ready, redis_start, redis_stop, redis_url
from tests.tenant_runtime.conftest import DOCUMENTS
from tests.tenant_runtime.support import (
    ADMIN_KEY,
    USAGE_TOKEN,
    UsageSink,
    model_started,
    runtime_environment,
    runtime_started,
    usage_sink,
)

QUESTION = {"messages": [{"role": "user", "content": "How long are monthly backups kept?"}]}


async def test_redis_killed_midway(tmp_path: Path, new_database: Callable[[], str]) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(dir=folder, port=free_port(), log_path=tmp_path / "redis.log")
    redis_start(server, password="test-redis-password")
    redis_ready(server, "test-redis-password", 10)
    environment = runtime_environment(
        new_database(), RUNTIME_REDIS_URL=redis_url(server, "test-redis-password", 0)
    )
    try:
        with runtime_started(tmp_path, environment) as runtime:
            runtime.ingest(*DOCUMENTS)
            client = runtime.sdk()
            thread_id = (await client.threads.create())["thread_id"]
            first = await client.runs.wait(thread_id, "document_analyst", input=QUESTION)
            assert "seven years" in first["answer"]
            redis_stop(server, 5)
            follow_up = {"messages": [{"role": "user", "content": "And the nightly ones?"}]}
            second = await client.runs.wait(thread_id, "document_analyst", input=follow_up)
            assert "35 days" in second["answer"], second["answer"]
            with runtime.http(None) as http:
                ready = http.get("/ready")
            assert ready.status_code == 200
            assert ready.json()["status"] == "degraded"
            assert ready.json()["checks"]["redis"]["ok"] is False
    finally:
        redis_stop(server, 5)


async def test_runs_without_redis_at_all(tmp_path: Path, new_database: Callable[[], str]) -> None:
    with runtime_started(tmp_path, runtime_environment(new_database())) as runtime:
        runtime.ingest(*DOCUMENTS)
        values = await runtime.sdk().runs.wait(None, "document_analyst", input=QUESTION)
        assert "seven years" in values["answer"]
        with runtime.http(None) as http:
            assert http.get("/ready").json()["status"] == "ready"


async def test_a_crash_of_the_only_process_loses_no_thread_and_no_run(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    environment = runtime_environment(new_database())
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
        client = runtime.sdk()
        thread_id = (await client.threads.create(metadata={"kept": True}))["thread_id"]
        await client.runs.wait(thread_id, "slow", input={"steps": 1})
        cut = await client.runs.create(thread_id, "slow", input={"steps": 30, "delay": 0.05})
        queued = await client.runs.create(thread_id, "slow", input={"steps": 1, "delay": 0})
        await asyncio.sleep(0.5)
        assert (await client.runs.get(thread_id, cut["run_id"]))["status"] == "running"
        runtime.kill()
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
        client = runtime.sdk()
        values = await client.runs.join(thread_id, queued["run_id"])
        assert [message["content"] for message in values["messages"]] == [
            "done after 1", "done after 30", "done after 1",
        ]  # fmt: skip
        assert (await client.runs.get(thread_id, cut["run_id"]))["status"] == "success"
        parts = [part async for part in client.runs.join_stream(thread_id, cut["run_id"])]
        assert parts[-1].event == "end"
        assert (await client.threads.get(thread_id))["metadata"]["kept"] is True
        with psycopg.connect(environment["RUNTIME_DATABASE_URL"]) as conn:
            rows = conn.execute(
                "SELECT body FROM usage_outbox WHERE id = %s", [f"{cut['run_id']}:run"]
            ).fetchall()
        assert [json.loads(row[0])["data"]["outcome"] for row in rows] == ["success"]


async def test_two_workers_share_one_database(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    """Both processes migrate the same empty database, and waits and streams work across them."""
    environment = runtime_environment(new_database())
    with runtime_started(tmp_path, environment, manifest=test_agents, workers=2) as runtime:
        client = runtime.sdk()
        for steps in range(1, 9):
            values = await client.runs.wait(None, "slow", input={"steps": steps})
            assert values["messages"][0]["content"] == f"done after {steps}"
        thread_id = (await client.threads.create())["thread_id"]
        runs = [await client.runs.create(thread_id, "slow", input={"steps": 1, "count": 0}) for _ in range(6)]
        values = await client.runs.join(thread_id, runs[-1]["run_id"])
        assert len(values["messages"]) == 6
        with psycopg.connect(environment["RUNTIME_DATABASE_URL"]) as conn:
            row = conn.execute("SELECT count(*) FROM runs WHERE status <> 'success'").fetchone()
        assert row == (0,)


async def test_usage_survives_an_outage_of_the_control_plane(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    with usage_sink() as sink:
        sink.fail_with = 503
        environment = runtime_environment(
            new_database(), RUNTIME_USAGE_URL=sink.url, RUNTIME_USAGE_TOKEN=USAGE_TOKEN
        )
        with runtime_started(tmp_path, environment) as runtime:
            runtime.ingest(*DOCUMENTS)
            for _ in range(2):
                await runtime.sdk().runs.wait(None, "document_analyst", input=QUESTION)
            with runtime.http(ADMIN_KEY) as admin:
                down = admin.post("/admin/usage/flush").json()
                assert down["pending"] > 10
                assert down["last_error"] == "HTTP 503"
                sink.fail_with, sink.refuse_types = None, {"freehold.tool.usage.v1"}
                up = admin.post("/admin/usage/flush").json()
            assert up["pending"] == 0
            assert up["parked"] == 2
            _totals_agree(sink, environment["RUNTIME_DATABASE_URL"])


def _totals_agree(sink: UsageSink, database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        rows = conn.execute("SELECT body FROM usage_outbox WHERE state = 'delivered' ORDER BY seq").fetchall()
        reasons = conn.execute("SELECT DISTINCT reason FROM usage_outbox WHERE state = 'parked'").fetchall()
    assert [json.loads(row[0]) for row in rows] == list(sink.events.values())
    assert reasons == [("rejected: no reason given",)]


async def test_tokens_billed_are_the_tokens_the_model_counted(
    tmp_path: Path, new_database: Callable[[], str]
) -> None:
    with model_started() as model, usage_sink() as sink:
        environment = runtime_environment(
            new_database(), RUNTIME_USAGE_URL=sink.url, RUNTIME_USAGE_TOKEN=USAGE_TOKEN,
            MODEL_BASE_URL=model.url, MODEL_NAME="offline-rules-1",
        )  # fmt: skip
        with runtime_started(tmp_path, environment) as runtime:
            runtime.ingest(*DOCUMENTS)
            client = runtime.sdk()
            await asyncio.gather(
                *(client.runs.wait(None, "document_analyst", input=QUESTION) for _ in range(5))
            )
            with runtime.http(ADMIN_KEY) as admin:
                assert admin.post("/admin/usage/flush").json()["pending"] == 0
        counted = model.counters()
        data = [event["data"] for event in sink.of_type("freehold.model.usage.v1")]
        assert sum(int(row["input_tokens"]) for row in data) == counted["prompt_tokens"]
        assert sum(int(row["output_tokens"]) for row in data) == counted["completion_tokens"]
        assert len(data) == counted["chat_calls"] + counted["embedding_calls"]
        gauges = sink.of_type("freehold.storage.usage.v1")
        storage = {event["data"]["component"]: event["data"]["bytes"] for event in gauges}
        assert int(storage["postgres"]) > 1_000_000


async def test_a_forged_checkpoint_row_does_not_execute(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    """Whoever can write a row must not be able to run code in the runtime."""
    environment = runtime_environment(new_database())
    mark = tmp_path / "executed"
    # Extension 0: "import this module, call this with these positional arguments".
    forged = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(("os", "system", f"touch {mark}"))))
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
        client = runtime.sdk()
        thread_id = (await client.threads.create())["thread_id"]
        await client.runs.wait(thread_id, "slow", input={"steps": 1})
        with psycopg.connect(environment["RUNTIME_DATABASE_URL"]) as conn:
            changed = conn.execute(
                "UPDATE checkpoint_blobs SET type = 'msgpack', blob = %s WHERE thread_id = %s",
                [forged, thread_id],
            )
            assert changed.rowcount > 0
        with runtime.http() as http:
            http.get(f"/threads/{thread_id}/state")
            http.post(f"/threads/{thread_id}/history", json={})
            http.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": "slow", "input": {}})
            assert http.get("/info").status_code == 200
    assert not mark.exists()


def test_the_forgery_is_a_real_one(tmp_path: Path) -> None:
    """The same bytes do execute where strict mode is off; else the test above would prove nothing."""
    import subprocess
    import sys

    mark = tmp_path / "executed"
    program = (
        "import ormsgpack; from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer as S;"
        f"b = ormsgpack.packb(ormsgpack.Ext(0, ormsgpack.packb(('os', 'system', 'touch {mark}'))));"
        "S().loads_typed(('msgpack', b))"
    )
    environment = {"PATH": os.environ["PATH"], "LANGGRAPH_STRICT_MSGPACK": "false"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True)
    if not mark.exists():
        pytest.skip("this version of LangGraph refuses the forgery by default")
