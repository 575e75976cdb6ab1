"""The tenant's Postgres restarts under a living runtime: it says so, and goes on by itself."""

from pathlib import Path

import httpx

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
from tests.tenant_runtime.support import (
    API_KEY,
    RuntimeProcess,
    runtime_environment,
    runtime_started,
    wait_until,
)

PASSWORD = "restart-test-password"


def _status(runtime: RuntimeProcess) -> tuple[int, str]:
    answer = httpx.get(f"{runtime.url}/ready", timeout=10)
    return answer.status_code, answer.json()["status"]


async def test_a_database_restart_is_survived(tmp_path: Path, test_agents: Path) -> None:
    server = PostgresServer(data_dir=tmp_path / "pg", port=free_port(), log_path=tmp_path / "pg.log")
    postgres_init(server, password=PASSWORD)
    postgres_start(server)
    try:
        postgres_ready(server, PASSWORD, 30)
        database_ensure(server, PASSWORD, database="rt", extensions=("vector",))
        environment = runtime_environment(postgres_url(server, PASSWORD, "rt"))
        with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
            client = runtime.sdk()
            thread_id = (await client.threads.create())["thread_id"]
            await client.runs.wait(thread_id, "slow", input={"steps": 1})
            postgres_stop(server, 10)
            wait_until(lambda: _status(runtime) == (503, "unready"), 15, "the runtime to notice")
            for key in (API_KEY, "fhr_a-key-nobody-can-look-up-now"):
                with runtime.http(key) as http:
                    refused = http.post("/threads", json={})
                assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
            postgres_start(server)
            postgres_ready(server, PASSWORD, 30)
            wait_until(lambda: _status(runtime) == (200, "ready"), 15, "the runtime to recover")
            values = await client.runs.wait(thread_id, "slow", input={"steps": 2})
            assert [m["content"] for m in values["messages"]] == ["done after 1", "done after 2"]
    finally:
        postgres_stop(server, 10)
