"""The official client of OpenAI against a live runtime: models, chat completions, responses, and what goes wrong."""

import uuid

import httpx
import openai
import pytest
from openai import OpenAI

from tests.tenant_runtime.access.signing import token_sign
from tests.tenant_runtime.support import API_KEY, RuntimeProcess, UsageSink, wait_until

QUESTION = "How long are nightly backups kept?"


@pytest.fixture
def client(runtime: RuntimeProcess) -> OpenAI:
    return OpenAI(base_url=f"{runtime.url}/v1", api_key=API_KEY, timeout=30, max_retries=0)


def run_of(runtime: RuntimeProcess, given: str) -> str:
    return str(uuid.UUID(hex=given.partition("_")[2] or given.partition("-")[2]))


def billed(sink: UsageSink, run_id: str) -> dict[str, int]:
    """Tokens the control plane was told of, once it was told of the run's end."""
    wait_until(
        lambda: [e for e in sink.of_type("freehold.run.usage.v1") if e["data"]["run_id"] == run_id],
        20,
        "usage",
    )
    calls = [e["data"] for e in sink.of_type("freehold.model.usage.v1") if e["data"]["run_id"] == run_id]
    inputs = ("input_tokens", "cached_input_tokens", "cache_write_tokens")
    return {
        "input": sum(int(call[name]) for call in calls for name in inputs),
        "output": sum(int(call[name]) for call in calls for name in ("output_tokens", "reasoning_tokens")),
    }


def test_agents_are_models(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"document_analyst", "slow", "asking"} <= set(names)
    assert client.models.retrieve("slow").owned_by == "freehold"
    with pytest.raises(openai.NotFoundError) as missing:
        client.models.retrieve("gpt-99")
    assert missing.value.code == "model_not_found"
    assert missing.value.type == "not_found_error"


def test_a_chat_completion_with_its_usage(client: OpenAI, runtime: RuntimeProcess, sink: UsageSink) -> None:
    done = client.chat.completions.create(
        model="document_analyst",
        messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}],
        temperature=0,
    )
    assert done.object == "chat.completion"
    assert "35 days" in (done.choices[0].message.content or "")
    assert done.choices[0].finish_reason == "stop"
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    told = billed(sink, run_of(runtime, done.id))
    assert told == {"input": done.usage.prompt_tokens, "output": done.usage.completion_tokens}
    assert told["output"] > 0


def test_a_chat_completion_in_pieces(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="document_analyst",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "35 days" in text
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_chat_leaves_no_thread(client: OpenAI, runtime: RuntimeProcess) -> None:
    with runtime.http() as http:
        before = http.post("/threads/count", json={}).json()
        client.chat.completions.create(model="slow", messages=[{"role": "user", "content": "go"}])
        assert http.post("/threads/count", json={}).json() == before


def test_a_response_goes_on_from_the_one_before(
    client: OpenAI, sink: UsageSink, runtime: RuntimeProcess
) -> None:
    first = client.responses.create(model="document_analyst", input=QUESTION, metadata={"topic": "backups"})
    assert first.status == "completed"
    assert "35 days" in first.output_text
    assert first.usage is not None
    assert billed(sink, run_of(runtime, first.id))["input"] == first.usage.input_tokens
    second = client.responses.create(
        model="document_analyst",
        input=[{"role": "user", "content": [{"type": "input_text", "text": "And monthly backups?"}]}],
        previous_response_id=first.id,
    )
    assert "seven years" in second.output_text
    assert second.previous_response_id == first.id
    with runtime.http() as http:
        runs = [http.get("/v1/responses/" + each.id).json() for each in (first, second)]
    assert [run["status"] for run in runs] == ["completed"] * 2
    again = client.responses.retrieve(first.id)
    assert (again.output_text, again.metadata, again.usage) == (
        first.output_text,
        {"topic": "backups"},
        first.usage,
    )


def test_two_may_go_on_from_one(client: OpenAI, runtime: RuntimeProcess) -> None:
    """A fork: the second one does not see what the first one said."""
    root = client.responses.create(model="slow", input="one")
    left = client.responses.create(model="slow", input="left", previous_response_id=root.id)
    right = client.responses.create(model="slow", input="right", previous_response_id=root.id)
    with runtime.http() as http:
        threads = http.post("/threads/search", json={"limit": 20, "metadata": {"graph_id": "slow"}}).json()
        found = [
            thread
            for thread in threads
            if "left" in str(thread["values"]) or "right" in str(thread["values"])
        ]
        assert len(found) == 1
        said = [m["content"] for m in found[0]["values"]["messages"] if m["type"] == "human"]
    assert said == ["one", "right"]
    assert left.id != right.id


def test_a_response_in_pieces(client: OpenAI) -> None:
    with client.responses.stream(model="document_analyst", input=QUESTION) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == final.output_text
    assert "35 days" in text
    assert final.usage is not None
    assert final.usage.total_tokens > 0


def test_a_question_is_answered_by_the_next_response(client: OpenAI) -> None:
    asked = client.responses.create(model="asking", input="please")
    assert asked.output_text == "may I?"
    assert asked.metadata == {"input_required": "true"}
    answered = client.responses.create(model="asking", input="yes", previous_response_id=asked.id)
    assert answered.output_text == "they said yes"
    assert answered.metadata == {}


def test_a_response_is_canceled_and_deleted(client: OpenAI, runtime: RuntimeProcess) -> None:
    done = client.responses.create(model="slow", input="go")
    with pytest.raises(openai.ConflictError):
        client.responses.cancel(done.id)
    client.responses.delete(done.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(done.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model="slow", input="go", previous_response_id=done.id)
    passing = client.responses.create(model="slow", input="go", store=False)
    assert passing.status == "completed"


def test_a_reader_that_leaves_ends_its_run(client: OpenAI, runtime: RuntimeProcess) -> None:
    # The state of `slow` has a delay that no OpenAI client can ask for; `impatient` waits for ever.
    stream = client.responses.create(model="impatient", input="go", stream=True)
    created = next(iter(stream))
    assert created.type == "response.created"
    stream.close()
    run = created.response.id

    def over() -> bool:
        return client.responses.retrieve(run).status in ("cancelled", "failed")

    wait_until(over, 20, "the run to end")


def test_what_goes_wrong_comes_in_openais_shape(client: OpenAI, runtime: RuntimeProcess) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        client.chat.completions.create(model="gpt-99", messages=[{"role": "user", "content": "x"}])
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as refused:
        client.chat.completions.create(
            model="slow",
            messages=[{"role": "user", "content": "x"}],
            tools=[{"type": "function", "function": {"name": "f"}}],
        )
    assert refused.value.code == "unsupported_parameter"
    assert "tools" in refused.value.message
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="failing", messages=[{"role": "user", "content": "x"}])
    assert failed.value.code == "ValueError"
    assert failed.value.response.headers["x-should-retry"] == "false"
    failing = client.responses.create(model="failing", input="x")
    assert failing.status == "failed"
    assert failing.error is not None
    stranger = OpenAI(base_url=f"{runtime.url}/v1", api_key="nobody-0123456789", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as nobody:
        stranger.models.list()
    assert nobody.value.code == "unauthenticated"
    raw = httpx.post(f"{runtime.url}/v1/responses", json={"model": "slow"}, headers={"x-api-key": API_KEY})
    assert raw.status_code == 422
    assert raw.json()["error"]["code"] == "missing_required_parameter"
    wrong = httpx.post(f"{runtime.url}/v1/responses", json={"input": "x"}, headers={"x-api-key": API_KEY})
    assert wrong.json()["error"]["param"] == "model"


def test_a_response_is_its_owners(runtime: RuntimeProcess) -> None:
    ada, bob = (
        OpenAI(base_url=f"{runtime.url}/v1", api_key=token_sign(name), max_retries=0, timeout=30)
        for name in ("ada@openai", "bob@openai")
    )
    made = ada.responses.create(model="slow", input="mine")
    for attempt in (
        lambda: bob.responses.retrieve(made.id),
        lambda: bob.responses.cancel(made.id),
        lambda: bob.responses.delete(made.id),
        lambda: bob.responses.create(model="slow", input="his", previous_response_id=made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            attempt()
    assert ada.responses.retrieve(made.id).status == "completed"
