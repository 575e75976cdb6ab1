"""RemoteGraph of langgraph: a graph that runs in the runtime, used as if it were here."""

import uuid
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.pregel.remote import RemoteGraph
from typing_extensions import TypedDict

from tests.tenant_runtime.support import API_KEY, RuntimeProcess


class State(TypedDict, total=False):
    messages: list[Any]
    steps: int
    count: int
    seen: int


def _remote(runtime: RuntimeProcess, name: str) -> RemoteGraph:
    return RemoteGraph(name, url=runtime.url, api_key=API_KEY)


def _thread(runtime: RuntimeProcess) -> dict[str, Any]:
    with runtime.http() as http:
        return {"configurable": {"thread_id": http.post("/threads", json={}).json()["thread_id"]}}


def test_invoke_stream_and_state(runtime: RuntimeProcess) -> None:
    remote, config = _remote(runtime, "slow"), _thread(runtime)
    result = remote.invoke({"steps": 2}, config)
    assert result["messages"][-1]["content"] == "done after 2"
    updates = list(remote.stream({"steps": 2}, config, stream_mode="updates"))
    assert [next(iter(update)) for update in updates] == ["step", "step", "say"]
    state = remote.get_state(config)
    assert (state.next, state.values["count"]) == ((), 0)
    assert len(list(remote.get_state_history(config, limit=3))) == 3
    remote.update_state(config, {"steps": 9}, as_node="say")
    assert remote.get_state(config).values["steps"] == 9
    assert {"step", "say"} <= set(remote.get_graph().nodes)


async def test_the_same_awaited(runtime: RuntimeProcess) -> None:
    remote, config = _remote(runtime, "slow"), _thread(runtime)
    result = await remote.ainvoke({"steps": 1}, config)
    assert result["messages"][-1]["content"] == "done after 1"
    values = [value async for value in remote.astream({"steps": 1}, config, stream_mode="values")]
    assert values[-1]["messages"][-1]["content"] == "done after 1"
    state = await remote.aget_state(config)
    assert state.values["count"] == 0
    await remote.aupdate_state(config, {"steps": 4}, as_node="say")
    assert (await remote.aget_state(config)).values["steps"] == 4


async def test_interrupts_come_through(runtime: RuntimeProcess) -> None:
    from langgraph.types import Command

    remote, config = _remote(runtime, "approving"), _thread(runtime)
    await remote.ainvoke({"said": "this"}, config)
    state = await remote.aget_state(config)
    assert [each.value for task in state.tasks for each in task.interrupts] == [{"approve": "this"}]
    result = await remote.ainvoke(Command(resume="go"), config)
    assert result["said"] == "done"


@pytest.mark.parametrize("subgraphs", [False, True])
async def test_as_a_part_of_a_graph_that_runs_here(runtime: RuntimeProcess, subgraphs: bool) -> None:
    builder = StateGraph(State)
    builder.add_node("remote", _remote(runtime, "slow"))
    builder.add_node("here", lambda state: {"seen": len(state["messages"])})
    builder.add_edge(START, "remote")
    builder.add_edge("remote", "here")
    builder.add_edge("here", END)
    graph = builder.compile(checkpointer=InMemorySaver())
    with runtime.http() as http:
        thread = http.post("/threads", json={"thread_id": str(uuid.uuid4())}).json()["thread_id"]
    config: Any = {"configurable": {"thread_id": thread}}
    result = await graph.ainvoke({"steps": 2}, config)
    assert result["seen"] == 1
    parts = [
        part async for part in graph.astream({"steps": 1}, config, stream_mode="updates", subgraphs=subgraphs)
    ]
    assert parts
    assert graph.get_state(config).values["seen"] >= 1
