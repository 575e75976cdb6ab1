"""The main path with the real SDK: documents in, a question, an answer with citations, usage out."""

from tests.tenant_runtime.support import RuntimeProcess, UsageSink, wait_until


def ask(question: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}]}


async def test_answers_from_documents_with_citations(runtime: RuntimeProcess) -> None:
    client = runtime.sdk()
    thread = await client.threads.create(metadata={"case": "main"})
    values = await client.runs.wait(
        thread["thread_id"], "document_analyst", input=ask("How long are nightly backups kept?")
    )
    assert isinstance(values, dict)
    assert "35 days" in values["answer"]
    assert "[1]" in values["answer"] or "[2]" in values["answer"]
    assert "handbook/backups.md" in {citation["path"] for citation in values["citations"]}
    assert values["plan"]
    assert [message["type"] for message in values["messages"]] == ["human", "ai"]
    state = await client.threads.get_state(thread["thread_id"])
    assert state["values"]["answer"] == values["answer"]
    assert state["next"] == []


async def test_says_when_it_does_not_know(runtime: RuntimeProcess) -> None:
    values = await runtime.sdk().runs.wait(
        None, "document_analyst", input=ask("What is the boiling point of tungsten?")
    )
    assert "do not know" in values["answer"]
    assert values["citations"] == []


async def test_uses_the_calculator_for_arithmetic(runtime: RuntimeProcess) -> None:
    values = await runtime.sdk().runs.wait(
        None, "document_analyst", input=ask("What do three nights in a hotel cost, 3 * 180 euros?")
    )
    assert "3 * 180 = 540" in values["answer"]
    assert values["tool"]["name"] == "calculate"


async def test_usage_reaches_the_control_plane_soon(runtime: RuntimeProcess, sink: UsageSink) -> None:
    client = runtime.sdk()
    thread = await client.threads.create()
    run = await client.runs.create(
        thread["thread_id"], "document_analyst", input=ask("Who may start a restore?")
    )
    await client.runs.join(thread["thread_id"], run["run_id"])

    def arrived() -> bool:
        return any(
            event["data"]["run_id"] == run["run_id"] for event in sink.of_type("freehold.run.usage.v1")
        )

    wait_until(arrived, 2, "the run's usage event")
    ended = next(e for e in sink.of_type("freehold.run.usage.v1") if e["data"]["run_id"] == run["run_id"])
    assert ended["data"]["outcome"] == "success"
    assert ended["subject"] == "acme"
    assert ended["source"] == "/tenants/acme/runtime/r0"
    model = [e for e in sink.of_type("freehold.model.usage.v1") if e["data"]["run_id"] == run["run_id"]]
    tool = [e for e in sink.of_type("freehold.tool.usage.v1") if e["data"]["run_id"] == run["run_id"]]
    assert len(model) == ended["data"]["model_calls"] == 4
    assert len(tool) == ended["data"]["tool_calls"] == 1
    assert sink.tokens == {"Bearer test-usage-token-0123456789"}
