"""Two runs on one thread under each strategy, and many runs on many threads: one writer each."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk.client import LangGraphClient

from tests.tenant_runtime.support import (
    RuntimeProcess,
    journal_read,
    runtime_environment,
    runtime_started,
    wait_until,
    worker_started,
)

SAID = {"role": "user", "content": "first"}
ALSO = {"role": "user", "content": "second"}


async def _first(client: LangGraphClient, journal: Path) -> tuple[str, Any]:
    """A run that is in its second step, on a thread of its own."""
    thread = (await client.threads.create())["thread_id"]
    given = {"messages": [SAID], "journal": str(journal), "steps": 6, "delay": 0.25}
    run = await client.runs.create(thread, "steady", input=given)
    wait_until(lambda: len(journal_read(journal)) >= 3, 10, "the first run's second step")
    return thread, run


async def _second(client: LangGraphClient, thread: str, journal: Path, strategy: Any) -> Any:
    given = {"messages": [ALSO], "journal": str(journal), "steps": 1, "delay": 0.0}
    return await client.runs.create(thread, "steady", input=given, multitask_strategy=strategy)


async def _contents(client: LangGraphClient, thread: str) -> list[str]:
    state = await client.threads.get_state(thread)
    return [message["content"] for message in state["values"]["messages"]]


@pytest.mark.parametrize("strategy", ["enqueue", "interrupt", "rollback", "reject"])
async def test_a_second_run_does_as_its_strategy_says(
    runtime: RuntimeProcess, tmp_path: Path, strategy: str
) -> None:
    client, journal = runtime.sdk(), tmp_path / "journal"
    thread, first = await _first(client, journal)
    if strategy == "reject":
        with pytest.raises(httpx.HTTPStatusError) as refused:
            await _second(client, thread, journal, strategy)
        assert refused.value.response.status_code == 409
        assert refused.value.response.json()["code"] == "thread_busy"
        await client.runs.join(thread, first["run_id"])
        assert await _contents(client, thread) == ["first", "done after 6"]
        return
    second = await _second(client, thread, journal, strategy)
    await client.runs.join(thread, second["run_id"])
    status = (await client.runs.get(thread, first["run_id"]))["status"]
    contents = await _contents(client, thread)
    assert (await client.runs.get(thread, second["run_id"]))["status"] == "success"
    lines = journal_read(journal)
    assert [line["run"] for line in lines] == sorted(
        (line["run"] for line in lines), key=[first["run_id"], second["run_id"]].index
    ), "they never wrote at once"
    if strategy == "enqueue":
        assert status == "success"
        assert contents == ["first", "done after 6", "second", "done after 1"]
    elif strategy == "interrupt":
        assert status == "interrupted"
        # What the first run had said stays, and so does how far it had counted.
        assert contents[:2] == ["first", "second"]
        assert contents[2].startswith("done after ")
    else:
        assert status == "interrupted"
        assert contents == ["second", "done after 1"], "as if the first run had never been"


async def test_two_hundred_runs_over_fifty_threads_keep_one_writer_each(
    tmp_path: Path, new_database: Callable[[], str], test_agents: Path
) -> None:
    environment = runtime_environment(new_database())
    journal = tmp_path / "journal"
    with (
        runtime_started(tmp_path, environment, manifest=test_agents) as runtime,
        worker_started(tmp_path, environment, manifest=test_agents),
    ):
        client = runtime.sdk()
        threads = [(await client.threads.create())["thread_id"] for _ in range(50)]
        given = {"journal": str(journal), "steps": 2, "delay": 0.01}
        runs = await asyncio.gather(
            *(client.runs.create(threads[number % 50], "steady", input=given) for number in range(200))
        )
        for run in runs:
            await client.runs.join(run["thread_id"], run["run_id"])
        inside: dict[str, str | None] = defaultdict(lambda: None)
        for line in journal_read(journal):
            thread, run_id = line["thread"], line["run"]
            if line["what"] == "enter":
                assert inside[thread] is None, f"{run_id} entered while {inside[thread]} was inside"
                inside[thread] = run_id
            else:
                assert inside[thread] == run_id
                inside[thread] = None
        finished = [line for line in journal_read(journal) if line["what"] == "leave"]
        assert len(finished) == 400
        assert len({line["pid"] for line in finished}) == 2, "both processes had a part in it"
        for thread in threads:
            assert await _contents(client, thread) == ["done after 2"] * 4
