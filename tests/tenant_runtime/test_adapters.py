"""Adapters with the real SDK against a real server: a pydantic-ai agent, plain functions, and AgentCore's contract."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.tenant_runtime.support import RuntimeProcess, runtime_environment, runtime_started

FOLDER = Path(__file__).parent / "adapters"
SESSION = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def say(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="module")
def database(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, database: str) -> Iterator[RuntimeProcess]:
    folder = tmp_path_factory.mktemp("adapters")
    with runtime_started(folder, runtime_environment(database), manifest=FOLDER / "agents.toml") as running:
        yield running


def usage(database: str, run_id: str, kind: str) -> int:
    with psycopg.connect(database) as conn:
        found = conn.execute(
            "SELECT count(*) FROM usage_outbox WHERE body::jsonb->>'type' = %s "
            "AND body::jsonb->'data'->>'run_id' = %s",
            [f"freehold.{kind}.usage.v1", run_id],
        ).fetchone()
    assert found is not None
    return int(found[0])


async def test_a_pydantic_ai_agent_talks_and_its_calls_are_metered(
    serving: RuntimeProcess, database: str
) -> None:
    client = serving.sdk()
    thread = await client.threads.create()
    run = await client.runs.create(thread["thread_id"], "helper", input=say("calculate 6 * 7"))
    await client.runs.join(thread["thread_id"], run["run_id"])
    values = (await client.threads.get_state(thread["thread_id"]))["values"]
    assert [message["type"] for message in values["messages"]] == ["human", "ai", "tool", "ai"]
    assert values["messages"][1]["tool_calls"][0]["name"] == "calculate"
    assert '"42"' in values["messages"][2]["content"]
    assert "42" in values["output"]
    assert (usage(database, run["run_id"], "model"), usage(database, run["run_id"], "tool")) == (2, 1)

    again = await client.runs.wait(thread["thread_id"], "helper", input=say("please weigh the parcel"))
    assert isinstance(again, dict)
    # The model's history goes on: what was said before is still there, and the agent's own function was asked.
    assert again["history"][0]["parts"][0]["content"] == "calculate 6 * 7"
    weighed = [message for message in again["messages"] if message["type"] == "tool"][-1]
    assert weighed["name"] == "weigh"
    assert thread["thread_id"] in weighed["content"]


async def test_messages_of_a_pydantic_ai_agent_are_streamed_as_they_come(serving: RuntimeProcess) -> None:
    client = serving.sdk()
    thread = await client.threads.create()
    order: list[str] = []
    async for part in client.runs.stream(
        thread["thread_id"], "helper", input=say("calculate 2 + 3"), stream_mode=["messages-tuple", "updates"]
    ):
        if part.event == "messages":
            order.append(part.data[0]["type"])
        elif part.event == "updates":
            order.append("update")
    assert order == ["ai", "tool", "ai", "update"]


async def test_a_function_that_asks_the_model_again(serving: RuntimeProcess) -> None:
    values = await serving.sdk().runs.wait(
        None, "helper", input=say("weigh a feather with the parcel scales")
    )
    assert isinstance(values, dict)
    assert any("too light" in str(part) for message in values["history"] for part in message["parts"])


async def test_a_step_that_is_tried_again_asks_the_model_no_second_time(
    serving: RuntimeProcess, database: str
) -> None:
    client = serving.sdk()
    thread = (await client.threads.create())["thread_id"]
    first = await client.runs.create(thread, "helper", input=say("survey the land"))
    await client.runs.join(thread, first["run_id"])
    assert (await client.runs.get(thread, first["run_id"]))["status"] == "error"
    second = await client.runs.create(thread, "helper", input=None)
    await client.runs.join(thread, second["run_id"])
    values = (await client.threads.get_state(thread))["values"]
    assert "flat" in str(values["messages"])
    # The answer that chose the tool was kept: the second try begins after it.
    assert (usage(database, first["run_id"], "model"), usage(database, second["run_id"], "model")) == (1, 1)


async def test_a_tool_that_wants_approval_waits_for_a_person(serving: RuntimeProcess, database: str) -> None:
    client = serving.sdk()
    for decision, expected in (({"approved": True}, "deleted"), ({"approved": False, "message": "no"}, "no")):
        thread = await client.threads.create()
        await client.runs.wait(thread["thread_id"], "helper", input=say("delete the old records"))
        asked = (await client.threads.get(thread["thread_id"]))["interrupts"]
        (question,) = next(iter(asked.values()))
        (call,) = question["value"]["calls"]
        assert (call["tool"], question["value"]["kind"]) == ("delete_records", "tool_approval")
        values = await client.runs.wait(
            thread["thread_id"], "helper", command={"resume": {call["tool_call_id"]: decision}}
        )
        assert isinstance(values, dict)
        tool = next(message for message in values["messages"] if message["type"] == "tool")
        assert expected in tool["content"]
        assert [message["type"] for message in values["messages"]].count("human") == 1
        assert sum(bool(message.get("tool_calls")) for message in values["messages"]) == 1


async def test_a_decision_that_answers_something_else_is_asked_again(serving: RuntimeProcess) -> None:
    client = serving.sdk()
    thread = await client.threads.create()
    await client.runs.wait(thread["thread_id"], "helper", input=say("delete the old records"))
    for answer in ({"other": True}, True):
        await client.runs.wait(thread["thread_id"], "helper", command={"resume": answer})
        asked = (await client.threads.get(thread["thread_id"]))["interrupts"]
        (question,) = next(iter(asked.values()))
        (call,) = question["value"]["calls"]
        assert call["tool_call_id"] in question["value"]["problem"]
    values = await client.runs.wait(
        thread["thread_id"], "helper", command={"resume": {call["tool_call_id"]: True}}
    )
    assert isinstance(values, dict)
    assert values["waiting"] == []
    assert (
        "deleted" in next(message for message in values["messages"] if message["type"] == "tool")["content"]
    )


def test_invocations_answer_with_what_the_function_returned(serving: RuntimeProcess) -> None:
    with serving.http() as http:
        answer = http.post("/invocations", json={"text": "hello"})
        assert (answer.status_code, answer.json()) == (200, {"loud": "HELLO"})
        failed = http.post("/invocations", json={"fail": 1})
        assert (failed.status_code, failed.json()["code"]) == (500, "ValueError")
        assert http.post("/invocations", content=b"{no").status_code == 400
    with serving.http(None) as http:
        assert http.post("/invocations", json={"text": "hello"}).status_code == 401
        ping = http.get("/ping").json()
    assert ping["status"] == "Healthy"
    assert ping["time_of_last_update"] > 1_700_000_000


def test_a_session_of_invocations_is_a_thread(serving: RuntimeProcess) -> None:
    session = "customer-4711-of-the-shop-in-the-north"
    with serving.http() as http:
        for text in ("one", "two"):
            answer = http.post("/invocations", json={"text": text}, headers={SESSION: session})
            assert answer.headers[SESSION] == session
        run = http.post("/threads/search", json={"metadata": {"graph_id": "shout"}}).json()
    assert len(run) == 1
    assert run[0]["values"]["output"] == {"loud": "TWO"}


async def test_items_of_a_generator_are_streamed(serving: RuntimeProcess) -> None:
    client = serving.sdk()
    items = [
        part.data
        async for part in client.runs.stream(
            None, "count", input={"input": {"to": 3}}, stream_mode=["custom"]
        )
        if part.event == "custom"
    ]
    assert items == [{"number": 0}, {"number": 1}, {"number": 2}]
