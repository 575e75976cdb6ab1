"""What the langgraph-sdk client calls, against a live runtime."""

import asyncio
import time
import uuid

import httpx
import pytest
from langgraph_sdk.errors import ConflictError, NotFoundError

from tests.tenant_runtime.support import RuntimeProcess


async def test_assistants(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    found = await client.assistants.search(graph_id="document_analyst")
    assert [row["graph_id"] for row in found] == ["document_analyst"]
    assistant_id = found[0]["assistant_id"]
    assert (await client.assistants.get(assistant_id))["name"] == "document_analyst"
    assert await client.assistants.count() == len(await client.assistants.search(limit=1000)) >= 5
    assert len(await client.assistants.search(limit=2)) == 2
    schemas = await client.assistants.get_schemas(assistant_id)
    assert "messages" in schemas["input_schema"]["properties"]
    graph = await client.assistants.get_graph(assistant_id)
    assert {"make_plan", "retrieve", "act", "compose_answer"} <= {node["id"] for node in graph["nodes"]}
    assert await client.assistants.get_subgraphs(assistant_id) == {}
    with pytest.raises(NotFoundError):
        await client.assistants.get("nobody")


async def test_threads(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    case = uuid.uuid4().hex
    thread = await client.threads.create(metadata={"case": case})
    thread_id = thread["thread_id"]
    assert thread["status"] == "idle"
    with pytest.raises(ConflictError):
        await client.threads.create(thread_id=thread_id)
    same = await client.threads.create(thread_id=thread_id, if_exists="do_nothing")
    assert same["metadata"] == {"case": case}
    changed = await client.threads.update(thread_id, metadata={"more": 1})
    assert changed["metadata"] == {"case": case, "more": 1}
    assert [row["thread_id"] for row in await client.threads.search(metadata={"case": case})] == [thread_id]
    assert await client.threads.count(metadata={"case": case}) == 1
    assert (await client.threads.get_state(thread_id))["values"] == {}
    await client.threads.delete(thread_id)
    with pytest.raises(NotFoundError):
        await client.threads.get(thread_id)


async def test_state_history_and_update(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "slow", input={"steps": 2})
    history = await client.threads.get_history(thread_id, limit=20)
    assert [state["next"] for state in history] == [[], ["say"], ["step"], ["step"], ["__start__"]]
    older = await client.threads.get_state(thread_id, checkpoint_id=history[2]["checkpoint"]["checkpoint_id"])
    assert older["values"]["count"] == 1
    before = await client.threads.get_history(thread_id, limit=1, before=history[0]["checkpoint"])
    assert before[0]["checkpoint"] == history[1]["checkpoint"]
    done = await client.threads.update_state(thread_id, {"steps": 7}, as_node="say")
    state = await client.threads.get_state(thread_id)
    assert state["values"]["steps"] == 7
    assert state["checkpoint"]["checkpoint_id"] == done["checkpoint"]["checkpoint_id"]


async def test_every_stream_mode(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    modes = [
        "values",
        "updates",
        "messages",
        "messages-tuple",
        "custom",
        "debug",
        "tasks",
        "checkpoints",
        "events",
    ]
    parts = [part async for part in client.runs.stream(None, "slow", input={"steps": 2}, stream_mode=modes)]
    names = [part.event for part in parts]
    assert names[0] == "metadata"
    assert names[-1] == "end"
    assert {
        "values", "updates", "messages/metadata", "messages/complete", "messages", "custom", "debug", "tasks",
        "checkpoints", "events",
    } <= set(names)  # fmt: skip
    assert [part.data for part in parts if part.event == "custom"] == [{"step": 1}, {"step": 2}]
    ids = [int(part.id) for part in parts if part.id]
    assert ids == sorted(set(ids))
    message, metadata = next(part.data for part in parts if part.event == "messages")
    assert message["content"] == "done after 2"
    assert metadata["langgraph_node"] == "say"


async def test_only_asked_modes_are_streamed(runtime: RuntimeProcess) -> None:
    parts = [part async for part in runtime.sdk().runs.stream(None, "slow", input={}, stream_mode="updates")]
    assert {part.event for part in parts} == {"metadata", "updates", "end"}


async def test_stream_resumes_after_the_last_event_seen(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(
        thread_id, "slow", input={"steps": 6, "delay": 0.15}, stream_mode=["custom", "values"]
    )
    first = []
    async for part in client.runs.join_stream(thread_id, run["run_id"], stream_mode="custom"):
        first.append(part)
        if part.event == "custom" and part.data == {"step": 3}:
            break
    rest = [
        part
        async for part in client.runs.join_stream(
            thread_id, run["run_id"], stream_mode="custom", last_event_id=first[-1].id
        )
    ]
    steps = [part.data["step"] for part in first + rest if part.event == "custom"]
    assert steps == [1, 2, 3, 4, 5, 6]
    assert rest[-1].event == "end"


async def test_headers_of_runs(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    created: list[object] = []
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "slow", input={}, on_run_created=created.append)
    assert created
    assert created[0]["thread_id"] == thread_id  # type: ignore[index]
    with runtime.http() as http:
        with http.stream(
            "POST", f"/threads/{thread_id}/runs/stream", json={"assistant_id": "slow"}
        ) as answer:
            assert answer.headers["location"].startswith(f"/threads/{thread_id}/runs/")
            assert answer.headers["content-type"].startswith("text/event-stream")
            answer.read()
        for _ in range(2):
            http.post(f"/threads/{thread_id}/runs/wait", json={"assistant_id": "slow", "input": {}})
        page = http.get(f"/threads/{thread_id}/runs", params={"limit": 2})
        assert len(page.json()) == 2
        assert page.headers["x-pagination-next"] == "2"


async def test_wait_is_prompt(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    await client.runs.wait(None, "slow", input={"steps": 10})
    durations = []
    for _ in range(5):
        begun = time.monotonic()
        await client.runs.wait(None, "slow", input={"steps": 10})
        durations.append(time.monotonic() - begun)
    # Far above what it takes, far below any polling interval.
    assert sorted(durations)[2] < 0.8, durations


async def test_reject_answers_409_and_enqueue_runs_in_order(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    slow = await client.runs.create(thread_id, "slow", input={"steps": 3, "delay": 0.2})
    assert (await client.threads.get(thread_id))["status"] == "busy"
    with pytest.raises((ConflictError, httpx.HTTPStatusError)) as refused:
        await client.runs.create(
            thread_id, "slow", input={"steps": 1, "delay": 0}, multitask_strategy="reject"
        )
    assert refused.value.response.status_code == 409
    assert refused.value.response.json()["code"] == "thread_busy"
    queued = [
        await client.runs.create(
            thread_id, "slow", input={"steps": n, "delay": 0}, multitask_strategy="enqueue"
        )
        for n in (1, 2)
    ]
    values = await client.runs.join(thread_id, queued[-1]["run_id"])
    assert [m["content"] for m in values["messages"]] == ["done after 3", "done after 1", "done after 2"]
    rows = await client.runs.list(thread_id)
    assert {row["status"] for row in rows} == {"success"}
    assert rows[-1]["run_id"] == slow["run_id"]
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_interrupt_strategy_ends_the_run_before(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    first = await client.runs.create(thread_id, "slow", input={"steps": 100, "delay": 0.1})
    await asyncio.sleep(0.4)
    values = await client.runs.wait(
        thread_id, "slow", input={"steps": 1, "delay": 0, "count": 0}, multitask_strategy="interrupt"
    )
    assert values["messages"][-1]["content"] == "done after 1"
    assert (await client.runs.get(thread_id, first["run_id"]))["status"] == "interrupted"


async def test_cancel_and_delete(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread_id, "slow", input={"steps": 100, "delay": 0.1})
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    await client.runs.cancel(thread_id, run["run_id"], wait=True)
    assert time.monotonic() - begun < 2
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "interrupted"
    assert (await client.threads.get(thread_id))["status"] == "idle"
    with pytest.raises((NotFoundError, httpx.HTTPStatusError)):
        await client.runs.cancel(thread_id, run["run_id"])
    await client.runs.delete(thread_id, run["run_id"])
    with pytest.raises(NotFoundError):
        await client.runs.get(thread_id, run["run_id"])


async def test_rollback_takes_back_what_the_run_wrote(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "slow", input={"steps": 1})
    kept = (await client.threads.get_state(thread_id))["checkpoint"]
    run = await client.runs.create(thread_id, "slow", input={"steps": 100, "delay": 0.1})
    await asyncio.sleep(0.4)
    await client.runs.cancel(thread_id, run["run_id"], wait=True, action="rollback")
    assert (await client.threads.get_state(thread_id))["checkpoint"] == kept


async def test_failures_are_told(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    with pytest.raises(Exception, match="ValueError: the reason"):
        await client.runs.wait(None, "failing", input={"messages": []})
    parts = [part async for part in client.runs.stream(None, "failing", input={"messages": []})]
    assert parts[-2].event == "error"
    assert parts[-2].data == {"error": "ValueError", "message": "the reason"}
    thread_id = (await client.threads.create())["thread_id"]
    run = await client.runs.create(thread_id, "impatient", input={"messages": []})
    await client.runs.join(thread_id, run["run_id"])
    assert (await client.runs.get(thread_id, run["run_id"]))["status"] == "timeout"
    assert (await client.threads.get(thread_id))["status"] == "error"


async def test_interrupt_and_resume(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread_id = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread_id, "asking", input={"messages": []})
    thread = await client.threads.get(thread_id)
    assert thread["status"] == "interrupted"
    assert next(iter(thread["interrupts"].values()))[0]["value"] == {"question": "may I?"}
    values = await client.runs.wait(thread_id, "asking", command={"resume": "yes"})
    assert values["messages"][-1]["content"] == "they said yes"
    assert (await client.threads.get(thread_id))["status"] == "idle"


async def test_stateless_batch(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    runs = await client.runs.create_batch([{"assistant_id": "slow", "input": {}}] * 3)
    for run in runs:
        await client.runs.join(run["thread_id"], run["run_id"])
    assert len({run["thread_id"] for run in runs}) == 3


async def test_the_body_cannot_name_another_thread(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    mine, other = [(await client.threads.create())["thread_id"] for _ in range(2)]
    await client.runs.wait(mine, "slow", input={}, config={"configurable": {"thread_id": other}})
    assert (await client.threads.get_state(mine))["values"]["messages"]
    assert (await client.threads.get_state(other))["values"] == {}
