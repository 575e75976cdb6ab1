"""A worker killed at every point of a step: what has an effect outside has it once, and what costs is billed once."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.tenant_runtime.effects import CrashPoints, Effects, effects_started
from tests.tenant_runtime.lanes import AGENTS, STEPS
from tests.tenant_runtime.striking import CASES
from tests.tenant_runtime.support import (
    ModelProcess,
    RuntimeProcess,
    model_started,
    runtime_environment,
    runtime_started,
    wait_until,
)


@dataclass
class World:
    environment: dict[str, str]
    effects: Effects
    model: ModelProcess
    points: CrashPoints
    start: Callable[[], AbstractContextManager[RuntimeProcess]]

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.environment["RUNTIME_DATABASE_URL"]) as conn:
            return conn.execute(statement, values).fetchall()

    def billed(self, type_: str) -> list[dict[str, Any]]:
        bodies = [json.loads(body) for (body,) in self.rows("SELECT body FROM usage_outbox")]
        return [body["data"] for body in bodies if body["type"] == type_ and body["data"]["agent"] != "start"]


@pytest.fixture
def world(tmp_path: Path, new_database: Callable[[], str]) -> Iterator[World]:
    folder = tmp_path / "points"
    folder.mkdir()
    with effects_started() as effects, model_started() as model:
        environment = runtime_environment(
            new_database(), MODEL_BASE_URL=model.url, MODEL_NAME="offline-rules-1", EFFECTS_URL=effects.url,
            FREEHOLD_CRASH_POINTS=str(folder), RUNTIME_LOG_LEVEL="warning",
        )  # fmt: skip

        @contextmanager
        def start() -> Iterator[RuntimeProcess]:
            with runtime_started(tmp_path, environment, manifest=AGENTS, until="/live") as runtime:
                yield runtime

        yield World(environment, effects, model, CrashPoints(folder), start)


async def finish(runtime: RuntimeProcess, thread_id: str, run_id: str) -> dict[str, Any]:
    """The thread once its lost run was taken over, or gone on with by hand."""
    client = runtime.sdk()
    over = ("success", "error", "timeout", "interrupted")
    with runtime.http() as http:
        wait_until(
            lambda: http.get(f"/threads/{thread_id}/runs/{run_id}").json()["status"] in over,
            30,
            "the run's end",
        )
    if (await client.runs.get(thread_id, run_id))["status"] == "error":
        await client.runs.wait(thread_id, "poster", input=None, raise_error=False)
    return dict(await client.threads.get(thread_id))


async def begin(
    runtime: RuntimeProcess, tool: str, *, agent: str = "poster", steps: int = STEPS, label: str = "effect"
) -> tuple[str, str]:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread_id, agent, input={"tool": tool, "steps": steps, "label": label})
    return thread_id, run["run_id"]


@pytest.mark.timeout(900)
async def test_an_effect_happens_once_wherever_its_worker_dies(world: World) -> None:
    """The whole runtime dies and is started again; striking.py kills one worker of several."""
    served_in_vain = 0
    running = ExitStack()
    runtime = running.enter_context(world.start())
    for number, case in enumerate(CASES):
        point, tool, label, shown = case.point, case.tool, f"case{number}", case.what
        # Only a tool that says it is idempotent has a callee that honours its key; else the judge counts each call.
        world.effects.by_key = tool == "post_idempotent"
        thread_id, run_id = await begin(runtime, tool, label=label)
        wait_until(lambda label=label: world.effects.done[f"{label} 0"], 30, "the first effect")
        world.points.arm(point)
        world.points.kill_at(point, runtime)
        running.close()
        runtime = running.enter_context(world.start())
        thread = await finish(runtime, thread_id, run_id)
        if thread["interrupts"]:
            assert case.asks, f"{shown}: nobody may be asked about what can be known or repeated"
            thread = await answered(world, runtime, thread)
        assert thread["values"]["count"] == STEPS, shown
        wanted = {f"{label} {n}": 1 for n in range(STEPS)}
        assert {what: n for what, n in world.effects.done.items() if what.startswith(label)} == wanted, shown
        assert [answer["done"] for answer in thread["values"]["answers"]] == list(wanted), shown
        served_in_vain += point == "runtime.chat.dispatched"
    running.close()
    # One chat and one tool call a step are billed. The endpoint has served one more where a worker died before it
    # could keep the answer.
    calls = STEPS * len(CASES)
    assert (
        len(world.billed("freehold.model.usage.v1")) == len(world.billed("freehold.tool.usage.v1")) == calls
    )
    assert world.model.counters()["chat_calls"] == calls + served_in_vain
    assert world.rows("SELECT count(*) FROM run_steps") == [(0,)], "checkpoints take their steps in"


async def answered(world: World, runtime: RuntimeProcess, thread: dict[str, Any]) -> dict[str, Any]:
    """Says what the counting service knows."""
    ((interrupt,),) = thread["interrupts"].values()
    asked = interrupt["value"]
    assert (asked["type"], asked["tool"]) == ("step_unknown", "post")
    what = asked["arguments"]["what"]
    done = bool(world.effects.done[what])
    answer = {"outcome": "done", "result": {"done": what}} if done else {"outcome": "not_done"}
    client = runtime.sdk()
    await client.runs.wait(thread["thread_id"], "poster", command={"resume": answer})
    seen = world.rows(
        "SELECT action FROM audit_log WHERE object = %s AND action LIKE 'step.%%' ORDER BY seq",
        f"thread/{thread['thread_id']}",
    )
    assert seen == [("step.unknown",), ("step.done" if done else "step.not_done",)]
    return dict(await client.threads.get(thread["thread_id"]))


async def test_a_timeout_is_told_to_the_agent_and_the_same_call_asks_a_person(world: World) -> None:
    world.effects.delay_s = 1.0
    with world.start() as runtime:
        thread_id, run_id = await begin(runtime, "slow_post", steps=1)
        thread = await finish(runtime, thread_id, run_id)
        assert thread["values"]["answers"] == [{"fault": "tool_timeout"}]
        assert thread["interrupts"] == {}
        assert world.effects.done["effect 0"] == 1


async def test_what_the_tool_itself_refuses_is_no_doubt(world: World) -> None:
    with world.start() as runtime:
        thread_id, run_id = await begin(runtime, "refuses", steps=2)
        thread = await finish(runtime, thread_id, run_id)
        assert thread["values"]["answers"] == [{"fault": "refused"}] * 2
    assert not [
        action for (action,) in world.rows("SELECT action FROM audit_log WHERE action LIKE 'step.%%'")
    ]


async def test_a_replay_that_asks_for_something_else_asks_a_person_first(world: World) -> None:
    with world.start() as runtime:
        world.points.arm("runtime.tool.dispatched")
        thread_id, run_id = await begin(runtime, "post", agent="clocked")
        world.points.kill_at("runtime.tool.dispatched", runtime)
    with world.start() as runtime:
        client = runtime.sdk()
        with runtime.http() as http:
            wait_until(
                lambda: (
                    http.get(f"/threads/{thread_id}/runs/{run_id}").json()["status"]
                    not in ("running", "pending")
                ),
                30,
                "the run's end",
            )
        if (await client.runs.get(thread_id, run_id))["status"] == "error":
            await client.runs.wait(thread_id, "clocked", input=None)
        thread = await client.threads.get(thread_id)
        ((interrupt,),) = thread["interrupts"].values()
        assert "other arguments" in interrupt["value"]["why"]
        assert len(world.effects.done) == 1
        # What is no answer is asked again, and changes nothing.
        await client.runs.wait(thread_id, "clocked", command={"resume": "what?"})
        ((interrupt,),) = (await client.threads.get(thread_id))["interrupts"].values()
        assert "none of" in interrupt["value"]["problem"]
        assert len(world.effects.done) == 1
        told = {"outcome": "done", "result": {"done": "by hand"}}
        await client.runs.wait(thread_id, "clocked", command={"resume": told})
        values = (await client.threads.get(thread_id))["values"]
        assert values["answers"] == [{"done": "by hand"}]
    assert len(world.effects.done) == 1
