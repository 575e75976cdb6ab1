"""Runs that sleep: no worker is held, the hour is kept, and they can be canceled and survive restarts."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import psycopg

from tests.tenant_runtime.support import journal_read, runtime_environment, runtime_started, wait_until


async def test_a_sleeping_run_holds_no_worker_and_goes_on(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    environment = runtime_environment(url, RUNTIME_MAX_RUNS="1")
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime, runtime.http() as http:
        client = runtime.sdk()
        thread = (await client.threads.create())["thread_id"]
        # Three naps of two seconds: longer together than its time limit of four, which does not count them.
        given = {"journal": str(journal), "steps": 3, "seconds": 2.0}
        run = await client.runs.create(thread, "napping", input=given)
        place = f"/threads/{thread}/runs/{run['run_id']}"

        def asleep() -> bool:
            with psycopg.connect(url) as conn:
                row = conn.execute(
                    "SELECT status, wake_at > now() AND claimed_by IS NULL FROM runs WHERE run_id = %s",
                    [run["run_id"]],
                ).fetchone()
            return row == ("pending", True)

        wait_until(asleep, 10, "the run to fall asleep")
        begun = time.monotonic()
        other = await client.runs.wait(None, "slow", input={"steps": 2})
        assert other["messages"][0]["content"] == "done after 2"
        assert time.monotonic() - begun < 2, "the only executor was free"
        assert http.get(place).json()["status"] == "pending"
        values = await client.runs.join(thread, run["run_id"])
        assert values["messages"][-1]["content"] == "done after 3"
        wakes = [line["at"] for line in journal_read(journal) if line["what"] == "wake"]
        assert len(wakes) == 3
        assert all(late - early >= 2 for early, late in pairwise(wakes))
        with psycopg.connect(url) as conn:
            row = conn.execute(
                "SELECT attempt, losses, spent_s < 3 FROM runs WHERE run_id = %s", [run["run_id"]]
            ).fetchone()
        assert row == (4, 0, True)


async def test_a_sleeping_run_is_canceled_at_once(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    with runtime_started(tmp_path, runtime_environment(url), manifest=test_agents) as runtime:
        client = runtime.sdk()
        for action in ("interrupt", "rollback"):
            thread = (await client.threads.create())["thread_id"]
            given = {"journal": str(journal), "steps": 1, "seconds": 3600.0}
            run = await client.runs.create(thread, "napping", input=given)

            def asleep(run_id: str = run["run_id"]) -> bool:
                with psycopg.connect(url) as conn:
                    row = conn.execute("SELECT wake_at FROM runs WHERE run_id = %s", [run_id]).fetchone()
                return row is not None and row[0] is not None

            wait_until(asleep, 10, "the run to fall asleep")
            queued = await client.runs.create(thread, "slow", input={"steps": 1})
            await client.runs.cancel(thread, run["run_id"], wait=True, action=action)
            assert (await client.runs.get(thread, run["run_id"]))["status"] == "interrupted"
            await client.runs.join(thread, queued["run_id"])
            with psycopg.connect(url) as conn:
                row = conn.execute(
                    "SELECT count(*) FROM checkpoints WHERE metadata->>'run_id' = %s", [run["run_id"]]
                ).fetchone()
            assert row is not None
            assert (row[0] == 0) == (action == "rollback")


async def test_sleeps_side_by_side_end_each_at_its_hour_over_a_restart(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    url, journal = new_database(), tmp_path / "journal"
    environment = runtime_environment(url)
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
        client = runtime.sdk()
        thread = (await client.threads.create())["thread_id"]
        begun = time.time()
        run = await client.runs.create(thread, "both", input={"journal": str(journal)})
        wait_until(lambda: journal_read(journal), 10, "the short sleep to end")
        runtime.kill()
    with runtime_started(tmp_path, environment, manifest=test_agents) as runtime:
        client = runtime.sdk()
        await client.runs.join(thread, run["run_id"])
        state = await client.threads.get_state(thread)
        assert [item["value"] for item in state["interrupts"]] == [{"question": "still there?"}]
        lines = {line["what"]: line["at"] - begun for line in journal_read(journal)}
        assert lines["short"] >= 0.5
        assert lines["long"] >= 3
        answered = await client.runs.wait(thread, "both", command={"resume": "yes"})
        assert answered["messages"][-1]["content"] == "they said yes"
