"""`client.threads.stream`: the event protocol of threads, by both clients."""

import uuid

import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.tenant_runtime.support import API_KEY, RuntimeProcess


async def test_a_run_from_its_start_to_its_output(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="slow") as thread:
        begun = await thread.run.start(input={"steps": 2}, metadata={"by": "protocol"})
        seen = [values async for values in thread.values]
        assert [values.get("count") for values in seen][-3:] == [1, 2, 0]
        output = await thread.output
        assert output["messages"][-1]["content"] == "done after 2"
        run = await client.runs.get(thread.thread_id, begun["run_id"])
        assert (run["status"], run["metadata"]) == ("success", {"by": "protocol"})
        nodes = (await thread.agent.get_tree())["nodes"]
        assert {"step", "say"} <= {node["id"] for node in nodes}


async def test_messages_come_in_pieces(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="talking") as thread:
        await thread.run.start(input={})
        messages = [message async for message in thread.messages]
        assert len(messages) == 1
        pieces = [piece async for piece in messages[0].text]
        assert "".join(pieces) == "one two three"
        assert len(pieces) > 2
        assert (await messages[0].output).content_blocks == [{"type": "text", "text": "one two three"}]


async def test_subgraphs_and_custom_events(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="nested") as thread:
        await thread.run.start(input={"said": "x"})
        children = [(child.graph_name, child.path) async for child in thread.subgraphs]
        assert [name for name, _ in children] == ["child"]
    async with client.threads.stream(assistant_id="nested") as thread:
        await thread.run.start(input={"said": "x"})
        found = [event async for event in thread.extensions["progress"]]
        assert [event["payload"] for event in found] == [{"half": True}]


async def test_an_interrupt_is_told_and_answered(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="approving") as thread:
        await thread.run.start(input={"said": "this"})
        [values async for values in thread.values]
        assert thread.interrupted
        assert [each["value"] for each in thread.interrupts] == [{"approve": "this"}]
        with pytest.raises(RuntimeError, match="does not match"):
            await thread.run.respond("go", interrupt_id="unknown")
        await thread.run.respond("go")
        output = await thread.output
        assert (output["said"], output["notes"]) == ("done", ["answered go", "last"])


async def test_a_failed_run_says_why(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="failing") as thread:
        await thread.run.start(input={"messages": []})
        with pytest.raises(RuntimeError, match="ValueError: the reason"):
            await thread.output


async def test_raw_subscriptions_pick_channels(runtime: RuntimeProcess) -> None:
    client = get_client(url=runtime.url, api_key=API_KEY)
    async with client.threads.stream(assistant_id="slow") as thread:
        await thread.run.start(input={"steps": 2})
        events = [event async for event in thread.subscribe(["tasks", "checkpoints"])]
    methods = {event["method"] for event in events}
    assert methods == {"tasks", "checkpoints"}
    numbers = [event["seq"] for event in events]
    assert numbers == sorted(set(numbers))
    checkpoints = [event["params"]["data"] for event in events if event["method"] == "checkpoints"]
    assert [each["parent_id"] for each in checkpoints[1:]] == [each["id"] for each in checkpoints[:-1]]


def test_the_sync_client_too(runtime: RuntimeProcess) -> None:
    client = get_sync_client(url=runtime.url, api_key=API_KEY)
    with client.threads.stream(assistant_id="slow") as thread:
        thread.run.start(input={"steps": 2})
        seen = list(thread.values)
        assert seen[-1]["messages"][-1]["content"] == "done after 2"
        assert thread.output["messages"][-1]["content"] == "done after 2"


def test_commands_and_their_errors(runtime: RuntimeProcess) -> None:
    thread = str(uuid.uuid4())
    with runtime.http() as http:

        def command(method: str, **params: object) -> dict[str, object]:
            answer = http.post(
                f"/threads/{thread}/commands", json={"id": 7, "method": method, "params": params}
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["id"] == 7
            return dict(answer.json())

        missing = http.post(f"/threads/{thread}/commands", json={"id": 1, "method": "state.get"})
        assert missing.status_code == 404
        assert command("run.start", assistant_id="slow", input={"steps": 1})["type"] == "success"
        http.get(f"/threads/{thread}/runs").raise_for_status()
        run = http.get(f"/threads/{thread}/runs").json()[0]["run_id"]
        http.get(f"/threads/{thread}/runs/{run}/join").raise_for_status()
        state = command("state.get", namespace=[], keys=["count"])["result"]
        assert state["values"] == {"count": 0}  # type: ignore[index]
        listed = command("state.listCheckpoints", limit=2)["result"]["checkpoints"]  # type: ignore[index]
        assert len(listed) == 2
        forked = command("state.fork", checkpoint_id=listed[1]["id"])["result"]
        assert forked["thread_id"] == thread  # type: ignore[index]
        assert command("dance")["error"] == "unknown_command"
        assert (
            command("input.respond", namespace=[], interrupt_id="x", response=1)["error"]
            == "no_such_interrupt"
        )
        assert command("run.start", assistant_id="slow", config=7)["error"] == "invalid_argument"
