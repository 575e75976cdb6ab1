"""`/admin/pause`: new work is refused and says why, what runs finishes and is metered, and a crash keeps the pause."""

import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from contracts.usage import RUN_USAGE
from tests.tenant_runtime.support import (
    ADMIN_KEY,
    USAGE_TOKEN,
    UsageSink,
    runtime_environment,
    runtime_started,
    usage_sink,
    wait_until,
)

REASON = "The budget Platform of 100.00 USD is spent."
HINT = "Raise the budget, or wait for the new month."
SLOW = {"assistant_id": "slow", "input": {"messages": [{"role": "user", "content": "1"}]}}
TAKES_3_S = {**SLOW, "input": {**SLOW["input"], "steps": 6, "delay": 0.5}}  # type: ignore[dict-item]


def _new_work(http: httpx.Client, thread: str) -> list[httpx.Response]:
    """Every door through which new work comes in."""
    document = {"documents": [{"path": "a.md", "text": "Something new to embed."}]}
    return [
        http.post("/runs", json=SLOW),
        http.post("/runs/wait", json=SLOW),
        http.post("/runs/stream", json=SLOW),
        http.post("/runs/batch", json=[SLOW]),
        http.post(f"/threads/{thread}/runs", json=SLOW),
        http.post("/documents", json=document),
    ]


@pytest.mark.timeout(600)
def test_a_pause_refuses_new_runs_lets_old_ones_finish_and_survives_a_crash(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    with usage_sink() as sink:
        environment = runtime_environment(
            new_database(), RUNTIME_USAGE_URL=sink.url, RUNTIME_USAGE_TOKEN=USAGE_TOKEN
        )
        with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
            with runtime.http() as user, runtime.http(ADMIN_KEY) as admin:
                assert user.post("/admin/pause", json={"reason": "mine"}).status_code == 403
                thread = user.post("/threads", json={}).json()["thread_id"]
                running = user.post(f"/threads/{thread}/runs", json=TAKES_3_S).json()["run_id"]
                paused = admin.post("/admin/pause", json={"reason": REASON, "hint": HINT}).json()
                again = admin.post("/admin/pause", json={"reason": REASON, "hint": HINT}).json()
                assert paused == again, "doing it again changes nothing, its beginning neither"
                for answer in _new_work(user, thread):
                    assert answer.status_code == 402, answer.text
                    assert answer.headers["content-type"] == "application/problem+json"
                    problem = answer.json()
                    assert (problem["code"], problem["detail"], problem["hint"]) == (
                        "runs_paused", REASON, HINT,
                    )  # fmt: skip
                user.get(f"/threads/{thread}/runs/{running}/join").raise_for_status()
                ended = user.get(f"/threads/{thread}/runs/{running}").raise_for_status().json()
                assert ended["status"] == "success", "what was accepted before the pause is finished"
                assert len(user.get(f"/threads/{thread}/runs").json()) == 1, "a refused run left no row"
                assert user.get(f"/threads/{thread}/state").status_code == 200
                assert user.get("/info").json()["paused"]["reason"] == REASON
                wait_until(lambda: _metered(sink, running), 30, "the usage of the run that finished")
            runtime.kill()
        with (
            runtime_started(tmp_path, environment, manifest=test_agents) as runtime,
            runtime.http() as user,
            runtime.http(ADMIN_KEY) as admin,
        ):
            assert user.post("/runs", json=SLOW).status_code == 402, "the pause outlives the process"
            assert admin.post("/admin/resume").json() == {"paused": False, "changed": True}
            assert admin.post("/admin/resume").json() == {"paused": False, "changed": False}
            begun = time.monotonic()
            assert user.post("/runs/wait", json=SLOW).status_code == 200
            assert time.monotonic() - begun < 60
            assert user.get("/info").json()["paused"] is None


def test_a_pause_needs_a_reason(tmp_path: Path, new_database: Callable[[], str], test_agents: Path) -> None:
    environment = runtime_environment(new_database())
    with (
        runtime_started(tmp_path, environment, manifest=test_agents) as runtime,
        runtime.http(ADMIN_KEY) as admin,
        runtime.http() as user,
    ):
        assert admin.post("/admin/pause", json={"reason": ""}).status_code == 422
        assert admin.post("/admin/pause", json={}).status_code == 422
        assert user.post("/runs/wait", json=SLOW).status_code == 200, "nothing was paused by it"


def _metered(sink: UsageSink, run_id: str) -> bool:
    return any(event["data"]["run_id"] == run_id for event in sink.of_type(RUN_USAGE))
