"""Calls every public method of the SDK's clients against a live runtime, and looks at what comes back.

Run as a program by another version of the SDK: `python -m tour URL KEY KIND`, in this folder.
"""

import asyncio
import sys
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any

try:
    from tests.tenant_runtime.sdk.uniform import Uniform, all_of, parts, public_methods
except ImportError:
    from uniform import Uniform, all_of, parts, public_methods  # type: ignore[import-not-found,no-redef]

NOBODY = "00000000-0000-0000-0000-000000000000"


async def refused(call: Any, status: int) -> str:
    """The error's text; AssertionError when the call passes or is refused otherwise."""
    try:
        await call
    except Exception as error:
        response = getattr(error, "response", None)
        if response is None or response.status_code != status:
            raise
        return str(error)
    raise AssertionError(f"wanted {status}, and it passed")


async def assistants(client: Uniform) -> None:
    made = await client.assistants.create(
        "configured", {"configurable": {"model": "small"}}, context={"tone": "kind"}, metadata={"tour": client.kind},
        name="Kind one", description="speaks kindly",
    )  # fmt: skip
    id_ = made["assistant_id"]
    assert (made["graph_id"], made["version"], made["name"]) == ("configured", 1, "Kind one")
    same = await client.assistants.create("configured", assistant_id=id_, if_exists="do_nothing")
    assert same["name"] == "Kind one"
    await refused(client.assistants.create("configured", assistant_id=id_), 409)
    await refused(client.assistants.create("no_such_graph"), 404)
    values = await client.runs.wait(None, id_, input={})
    assert values["said"] == "kind, small"
    values = await client.runs.wait(
        None, id_, input={}, config={"configurable": {"model": "large"}}, context={"tone": "rude"}
    )
    assert values["said"] == "rude, large"
    changed = await client.assistants.update(
        id_, name="Kinder one", metadata={"more": 1}, context={"tone": "soft"}
    )
    assert (changed["version"], changed["name"]) == (2, "Kinder one")
    assert changed["metadata"] == {"tour": client.kind, "more": 1}
    assert changed["config"] == {"configurable": {"model": "small"}}
    assert [row["version"] for row in await client.assistants.get_versions(id_)] == [2, 1]
    assert [row["version"] for row in await client.assistants.get_versions(id_, limit=1, offset=1)] == [1]
    assert await client.assistants.get_versions(id_, metadata={"more": 2}) == []
    assert (await client.runs.wait(None, id_, input={}))["said"] == "soft, small"
    assert (await client.assistants.set_latest(id_, 1))["name"] == "Kind one"
    assert (await client.runs.wait(None, id_, input={}))["said"] == "kind, small"
    assert (await client.assistants.update(id_, description="third"))["version"] == 3
    await refused(client.assistants.set_latest(id_, 9), 404)
    found = await client.assistants.search(metadata={"tour": client.kind}, graph_id="configured")
    assert [row["assistant_id"] for row in found] == [id_]
    assert await client.assistants.count(metadata={"tour": client.kind}) == 1
    names = await client.assistants.search(sort_by="name", sort_order="asc", limit=2, select=["name"])
    assert [list(row) for row in names] == [["name"], ["name"]]
    assert names == sorted(names, key=lambda row: row["name"])
    page = await client.assistants.search(limit=2, response_format="object")
    assert (len(page["assistants"]), page["next"]) == (2, "2")
    assert (await client.assistants.get(id_))["name"] == "Kind one"
    nodes = (await client.assistants.get_graph("nested"))["nodes"]
    assert {"child", "outer"} <= {node["id"] for node in nodes}
    deep = (await client.assistants.get_graph("nested", xray=True))["nodes"]
    assert any("inner" in node["id"] for node in deep)
    schemas = await client.assistants.get_schemas(id_)
    assert schemas["graph_id"] == "configured"
    assert schemas["context_schema"]["properties"].keys() == {"tone"}
    assert list(await client.assistants.get_subgraphs("nested")) == ["child"]
    assert list(await client.assistants.get_subgraphs("nested", "child")) == ["child"]
    built_in = (await client.assistants.search(graph_id="nested"))[0]["assistant_id"]
    await refused(client.assistants.update(built_in, name="mine"), 409)
    thread = (await client.threads.create(metadata={"tour": "gone"}))["thread_id"]
    await client.runs.wait(thread, id_, input={})
    await client.assistants.delete(id_, delete_threads=True)
    await refused(client.assistants.get(id_), 404)
    await refused(client.threads.get(thread), 404)


async def threads(client: Uniform) -> None:
    case = uuid.uuid4().hex
    thread = (await client.threads.create(metadata={"case": case}, graph_id="slow"))["thread_id"]
    await refused(client.threads.create(thread_id=thread), 409)
    again = await client.threads.create(thread_id=thread, if_exists="do_nothing")
    assert again["metadata"] == {"case": case, "graph_id": "slow"}
    seeded = await client.threads.create(
        metadata={"case": case}, graph_id="slow",
        supersteps=[
            {"updates": [{"values": {"steps": 2}, "as_node": "__start__"}]},
            {"updates": [{"values": {"count": 1}, "as_node": "step"}]},
        ],
    )  # fmt: skip
    assert seeded["values"]["steps"] == 2
    assert (await client.threads.get_state(seeded["thread_id"]))["next"] == ["step"]
    await client.runs.wait(thread, "slow", input={"steps": 1})
    assert (await client.threads.get(thread))["values"]["messages"][-1]["content"] == "done after 1"
    updated = await client.threads.update(thread, metadata={"more": 1})
    assert updated["metadata"]["more"] == 1
    ours = {"case": case}
    assert {row["thread_id"] for row in await client.threads.search(metadata=ours)} == {
        thread, seeded["thread_id"],
    }  # fmt: skip
    assert [row["thread_id"] for row in await client.threads.search(metadata=ours, values={"steps": 2})] == [
        seeded["thread_id"]
    ]
    assert await client.threads.search(metadata=ours, status="busy") == []
    assert [row["thread_id"] for row in await client.threads.search(ids=[thread])] == [thread]
    ordered = await client.threads.search(
        metadata=ours, sort_by="thread_id", sort_order="asc", select=["thread_id"]
    )
    assert ordered == [{"thread_id": id_} for id_ in sorted([thread, seeded["thread_id"]])]
    extracted = await client.threads.search(ids=[thread], extract={"last": "values.messages[-1].content"})
    assert extracted[0]["extracted"] == {"last": "done after 1"}
    assert await client.threads.count(metadata=ours) == 2
    assert await client.threads.count(metadata=ours, values={"steps": 2}, status="idle") == 1
    await states(client, thread)
    await copies(client, thread)
    await client.threads.delete(thread)
    await refused(client.threads.get(thread), 404)
    await refused(client.threads.delete(thread), 404)


async def states(client: Uniform, thread: str) -> None:
    history = await client.threads.get_history(thread, limit=20)
    assert [state["next"] for state in history] == [[], ["say"], ["step"], ["__start__"]]
    older = history[1]["checkpoint"]
    before = await client.threads.get_history(thread, limit=1, before=older)
    assert [state["next"] for state in before] == [["step"]]
    of_loop = await client.threads.get_history(thread, metadata={"source": "input"})
    assert [state["next"] for state in of_loop] == [["__start__"]]
    at = await client.threads.get_state(thread, checkpoint=older)
    assert (at["next"], at["values"]["count"]) == (["say"], 1)
    assert (await client.threads.get_state(thread, checkpoint_id=older["checkpoint_id"]))["next"] == ["say"]
    made = await client.threads.update_state(thread, {"steps": 7}, as_node="say")
    state = await client.threads.get_state(thread)
    assert (state["values"]["steps"], state["checkpoint"]) == (7, made["checkpoint"])
    assert (await client.threads.get(thread))["values"]["steps"] == 7
    # Time travel: from an older checkpoint a run goes on as it would have then.
    values = await client.runs.wait(thread, "slow", checkpoint=older)
    assert values["messages"][-1]["content"] == "done after 1"
    forked = await client.threads.update_state(thread, {"count": 5}, as_node="step", checkpoint=older)
    assert (await client.threads.get_state(thread))["checkpoint"] == forked["checkpoint"]
    assert (await client.runs.wait(thread, "slow", input=None))["messages"][-1]["content"] == "done after 5"
    await refused(client.threads.update_state(thread, {"steps": 1}, as_node="nobody"), 422)
    await refused(client.threads.get_state(thread, checkpoint_id=NOBODY), 404)


async def copies(client: Uniform, thread: str) -> None:
    source = await client.threads.get_state(thread)
    copy = await client.threads.copy(thread)
    copied = await client.threads.get_state(copy["thread_id"])
    assert copied["values"] == source["values"]
    assert copied["checkpoint"]["checkpoint_id"] == source["checkpoint"]["checkpoint_id"]
    lengths = [len(await client.threads.get_history(id_, limit=50)) for id_ in (thread, copy["thread_id"])]
    assert lengths[0] == lengths[1] > 3
    values = await client.runs.wait(copy["thread_id"], "slow", input={"steps": 1})
    assert len(values["messages"]) == len(source["values"]["messages"]) + 1
    assert (await client.threads.get_state(thread))["values"] == source["values"]
    pruned = await client.threads.prune([copy["thread_id"]], strategy="keep_latest")
    assert pruned == {"pruned_count": 1}
    assert len(await client.threads.get_history(copy["thread_id"], limit=50)) == 1
    assert (await client.threads.get_state(copy["thread_id"]))["values"] == values
    await refused(client.threads.prune([copy["thread_id"], NOBODY]), 404)
    assert await client.threads.prune([copy["thread_id"]]) == {"pruned_count": 1}
    await refused(client.threads.get(copy["thread_id"]), 404)


async def runs(client: Uniform) -> None:
    thread = (await client.threads.create())["thread_id"]
    born: list[Any] = []
    run = await client.runs.create(
        thread, "slow", input={"steps": 2}, metadata={"a": 1}, stream_mode=["custom"], stream_resumable=True,
        durability="async", on_run_created=born.append,
    )  # fmt: skip
    assert born == [{"run_id": run["run_id"], "thread_id": thread}]
    assert (run["status"], run["metadata"]) == ("pending", {"a": 1})
    joined = await client.runs.join(thread, run["run_id"])
    assert joined["messages"][-1]["content"] == "done after 2"
    assert (await client.runs.get(thread, run["run_id"]))["status"] == "success"
    seen = await all_of(client.runs.join_stream(thread, run["run_id"], stream_mode="custom"))
    assert [part.data for part in seen if part.event == "custom"] == [{"step": 1}, {"step": 2}]
    rest = await all_of(client.runs.join_stream(thread, run["run_id"], last_event_id=seen[1].id))
    assert [part.data for part in rest if part.event == "custom"] == [{"step": 2}]
    assert [row["run_id"] for row in await client.runs.list(thread)] == [run["run_id"]]
    assert await client.runs.list(thread, status="error") == []
    assert await client.runs.list(thread, select=["run_id"]) == [{"run_id": run["run_id"]}]
    fresh = str(uuid.uuid4())
    await refused(client.runs.create(fresh, "slow", input={}), 404)
    values = await client.runs.wait(fresh, "slow", input={"steps": 1}, if_not_exists="create")
    assert values["messages"][-1]["content"] == "done after 1"
    assert (await client.threads.get(fresh))["status"] == "idle"
    await client.runs.delete(thread, run["run_id"])
    await refused(client.runs.get(thread, run["run_id"]), 404)
    batch = await client.runs.create_batch(
        [{"assistant_id": "slow", "input": {"steps": steps}} for steps in (1, 2)]
    )
    ends = [await client.runs.join(each["thread_id"], each["run_id"]) for each in batch]
    assert [each["messages"][-1]["content"] for each in ends] == ["done after 1", "done after 2"]
    await cancels(client, thread)
    await interrupts(client)
    await streams(client)


async def cancels(client: Uniform, thread: str) -> None:
    long = {"steps": 500, "delay": 0.1}
    one = await client.runs.create(thread, "slow", input=long)
    await refused(client.runs.create(thread, "slow", input=long, multitask_strategy="reject"), 409)
    waiting = await client.runs.create(thread, "slow", input=long, multitask_strategy="enqueue")
    await client.runs.cancel(thread, waiting["run_id"])
    assert (await client.runs.get(thread, waiting["run_id"]))["status"] == "interrupted"
    await client.runs.cancel(thread, one["run_id"], wait=True, action="interrupt")
    assert (await client.runs.get(thread, one["run_id"]))["status"] == "interrupted"
    two = [await client.runs.create(None, "slow", input=long) for _ in range(2)]
    await client.runs.cancel_many(run_ids=[run["run_id"] for run in two])
    for run in two:
        await client.runs.join(run["thread_id"], run["run_id"])
        assert (await client.runs.get(run["thread_id"], run["run_id"]))["status"] == "interrupted"
    later = await client.runs.create(thread, "slow", input={}, after_seconds=600)
    await client.runs.cancel_many(thread_id=thread, status="pending")
    assert (await client.runs.get(thread, later["run_id"]))["status"] == "interrupted"


async def interrupts(client: Uniform) -> None:
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "slow", input={"steps": 1}, interrupt_before=["say"])
    assert (await client.threads.get_state(thread))["next"] == ["say"]
    await client.runs.wait(thread, "slow", input=None, interrupt_after="*")
    assert (await client.threads.get_state(thread))["next"] == []
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "approving", input={"said": "this"})
    state = await client.threads.get_state(thread)
    assert state["tasks"][0]["interrupts"][0]["value"] == {"approve": "this"}
    assert (await client.threads.get(thread))["status"] == "interrupted"
    values = await client.runs.wait(thread, "approving", command={"resume": "go", "update": {"said": "that"}})
    assert (values["said"], values["notes"]) == ("done", ["answered go", "last"])
    values = await client.runs.wait(thread, "approving", command={"goto": "last"})
    assert values["notes"] == ["answered go", "last", "last"]


async def streams(client: Uniform) -> None:
    modes = [
        "values",
        "updates",
        "messages-tuple",
        "custom",
        "tasks",
        "checkpoints",
        "debug",
        "events",
        "tools",
    ]
    found = await all_of(
        client.runs.stream(
            None,
            "nested",
            input={"said": "x"},
            stream_mode=modes,
            stream_subgraphs=True,
            on_disconnect="cancel",
            on_completion="delete",
            multitask_strategy="enqueue",
            feedback_keys=["k"],
        )
    )
    names = {part.event.partition("|")[0] for part in found}
    assert {
        "metadata", "values", "updates", "messages", "custom", "tasks", "checkpoints", "debug", "events", "end",
    } <= names  # fmt: skip
    below = [part.event for part in found if part.event.startswith("custom|child:")]
    assert len(below) == 1
    said = await all_of(client.runs.stream(None, "talking", input={}, stream_mode=["messages"]))
    partial = [part.data[0]["content"] for part in said if part.event == "messages/partial"]
    assert partial[-1] == "one two three"
    assert len(partial) > 3
    typed = await all_of(
        client.runs.stream(None, "slow", input={"steps": 1}, stream_mode="values", version="v2")
    )
    assert {part["type"] for part in typed} >= {"metadata", "values"}
    thread = (await client.threads.create())["thread_id"]
    await client.runs.wait(thread, "slow", input={"steps": 1})
    joined = parts(client.threads.join_stream(thread, last_event_id="-", stream_mode=["run_modes"]))
    events: list[str] = []
    async for part in joined:
        events.append(part.event)
        if part.event == "end":
            break
    await joined.aclose()
    assert events[0] == "metadata"
    assert events.count("values") >= 3, events


async def crons(client: Uniform) -> None:
    end = datetime.now(timezone.utc) + timedelta(days=1)  # noqa: UP017 - older versions of Python run this too
    thread = (await client.threads.create())["thread_id"]
    tour = {"tour": uuid.uuid4().hex}
    made = await client.crons.create(
        "slow", schedule="0 9 * * 1-5", input={"steps": 1}, metadata=tour, timezone="Europe/Berlin", end_time=None,
        on_run_completed="keep", enabled=False,
    )  # fmt: skip
    assert (made["schedule"], made["timezone"], made["enabled"]) == ("0 9 * * 1-5", "Europe/Berlin", False)
    assert made["payload"]["input"] == {"steps": 1}
    on_thread = await client.crons.create_for_thread(
        thread, "slow", schedule="*/5 * * * *", metadata=tour, end_time=end, multitask_strategy="enqueue"
    )
    assert on_thread["thread_id"] == thread
    assert await client.crons.count(metadata=tour) == 2
    assert await client.crons.count(metadata=tour, thread_id=thread) == 1
    found = await client.crons.search(metadata=tour, sort_by="created_at", sort_order="asc")
    assert [row["cron_id"] for row in found] == [made["cron_id"], on_thread["cron_id"]]
    assert [row["cron_id"] for row in await client.crons.search(metadata=tour, enabled=False)] == [
        made["cron_id"]
    ]
    short = await client.crons.search(metadata=tour, limit=1, offset=1, select=["cron_id"])
    assert len(short) == 1
    assert list(short[0]) == ["cron_id"]
    changed = await client.crons.update(
        made["cron_id"], schedule="30 6 * * *", input={"steps": 3}, enabled=True
    )
    assert (changed["schedule"], changed["enabled"], changed["payload"]["input"]) == (
        "30 6 * * *", True, {"steps": 3},
    )  # fmt: skip
    assert changed["next_run_date"] != made["next_run_date"]
    await refused(client.crons.create("slow", schedule="every day"), 422)
    await refused(client.crons.create("slow", schedule="* * * * *", timezone="Mars/Base"), 422)
    await refused(client.crons.create_for_thread(NOBODY, "slow", schedule="* * * * *"), 404)
    for cron in (made, on_thread):
        await client.crons.delete(cron["cron_id"])
    await refused(client.crons.delete(made["cron_id"]), 404)
    assert await client.crons.count(metadata=tour) == 0


async def store(client: Uniform) -> None:
    root = f"tour-{uuid.uuid4().hex}"
    await client.store.put_item(
        [root, "cats"], "tom", {"kind": "cat", "age": 3, "text": "likes milk"}, index=["text"]
    )
    await client.store.put_item(
        [root, "cats"], "kit", {"kind": "cat", "age": 1, "text": "sleeps on sofas"}, index=["text"]
    )
    await client.store.put_item([root, "dogs", "big"], "rex", {"kind": "dog", "age": 7}, index=False, ttl=60)
    item = await client.store.get_item([root, "cats"], "tom")
    assert (item["namespace"], item["key"], item["value"]["age"]) == ([root, "cats"], "tom", 3)
    await client.store.put_item(
        [root, "cats"], "tom", {"kind": "cat", "age": 4, "text": "likes milk"}, index=["text"]
    )
    again = await client.store.get_item([root, "cats"], "tom", refresh_ttl=False)
    assert (again["value"]["age"], again["created_at"]) == (4, item["created_at"])
    found = (await client.store.search_items([root], filter={"kind": "cat"}))["items"]
    assert [each["key"] for each in found] == ["tom", "kit"]
    older = (await client.store.search_items([root], filter={"age": {"$gte": 4}}))["items"]
    assert {each["key"] for each in older} == {"tom", "rex"}
    assert len((await client.store.search_items([root], limit=1, offset=1))["items"]) == 1
    near = (await client.store.search_items([root, "cats"], query="who drinks milk?", limit=2))["items"]
    assert [each["key"] for each in near] == ["tom", "kit"]
    assert near[0]["score"] > (near[1]["score"] or 0.0)
    listed = (await client.store.list_namespaces(prefix=[root]))["namespaces"]
    assert listed == [[root, "cats"], [root, "dogs", "big"]]
    assert (await client.store.list_namespaces(prefix=[root], max_depth=2))["namespaces"] == [
        [root, "cats"], [root, "dogs"],
    ]  # fmt: skip
    assert (await client.store.list_namespaces(prefix=[root], suffix=["big"]))["namespaces"] == [
        [root, "dogs", "big"]
    ]
    await client.store.delete_item([root, "cats"], "tom")
    await refused(client.store.get_item([root, "cats"], "tom"), 404)


STEPS = (assistants, threads, runs, crons, store)


async def tour(kind: str, url: str, key: str) -> None:
    """Every step with one client; AssertionError names what is not as it must be."""
    client = Uniform(kind, url, key)
    for step in STEPS:
        await step(client)
    # `threads.stream` is an object of its own with methods of its own: test_thread_protocol.py.
    untried = public_methods(client.real) - client.called - {"threads.stream"}
    assert not untried, f"nobody calls {sorted(untried)}"
    await client.close()


if __name__ == "__main__":
    asyncio.run(tour(sys.argv[3], sys.argv[1], sys.argv[2]))
    print("toured")
