"""What is missing when a runtime starts, and what it says of it: parts that come later, and documents half written."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from embedded.ports import free_port
from tenant_runtime.errors import DatabaseUnready, ModelFailed, Unavailable
from tenant_runtime.memory import long_term
from tenant_runtime.memory.long_term import COLLECTION, Document, LongTermMemory
from tenant_runtime.memory.qdrant import QdrantStore
from tenant_runtime.models.client import Embedded, TokenUsage
from tests.support.qdrant import QdrantStandIn, qdrant_started
from tests.support.weaviate import weaviate_started
from tests.tenant_runtime.support import (
    RuntimeProcess,
    model_started,
    runtime_environment,
    runtime_started,
    wait_until,
)

QUESTION = {"messages": [{"role": "user", "content": "Do ordinary clusters suffice?"}]}
LONG = "\n\n".join(f"## Part {n}\n\nThe quxfee is {n} crowns." for n in range(9))


def _ready(runtime: RuntimeProcess) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{runtime.url}/ready", timeout=10)
    return answer.status_code, answer.json()["checks"]


async def _answered(runtime: RuntimeProcess) -> str:
    assert runtime.ingest({"path": "a", "text": "Ordinary clusters suffice."})["created"] == 1
    values = await runtime.sdk().runs.wait(None, "document_analyst", input=QUESTION)
    return str(values["answer"])


async def test_a_vector_store_that_comes_later(tmp_path: Path, new_database: Callable[[], str]) -> None:
    port = free_port()
    environment = runtime_environment(
        new_database(),
        RUNTIME_VECTOR_URL=f"qdrant://127.0.0.1:{port}",
        RUNTIME_VECTOR_API_KEY="qdrant-test-key",
    )
    with runtime_started(tmp_path, environment, until="/live") as runtime:
        status, checks = _ready(runtime)
        assert status == 503
        assert [name for name, check in checks.items() if not check["ok"]] == ["vector_store"]
        assert checks["vector_store"]["detail"] == "the vector store (Qdrant) failed: ConnectError"
        with runtime.http() as http:
            refused = http.post("/documents", json=[{"path": "a", "text": "Too early."}])
        assert (refused.status_code, refused.json()["code"]) == (503, "memory_not_open")
        with qdrant_started(port) as qdrant:
            qdrant.api_key = "another-key"
            wait_until(
                lambda: "API key" in _ready(runtime)[1]["vector_store"]["detail"], 60, "the key's refusal"
            )
            qdrant.api_key = "qdrant-test-key"
            wait_until(lambda: _ready(runtime)[0] == 200, 60, "the runtime to open its memory")
            assert "suffice" in await _answered(runtime)
        assert "test-key" not in runtime.log.read_text()


@pytest.mark.engine
async def test_a_runtime_on_weaviate(tmp_path: Path, new_database: Callable[[], str]) -> None:
    with weaviate_started(tmp_path) as weaviate:
        environment = runtime_environment(
            new_database(), RUNTIME_VECTOR_URL=weaviate.url, RUNTIME_VECTOR_API_KEY=weaviate.api_key
        )
        with runtime_started(tmp_path, environment) as runtime:
            assert _ready(runtime)[1]["vector_store"]["detail"] == "Weaviate 1.35.2"
            assert "suffice" in await _answered(runtime)
            document = {"path": "fees", "title": "Fees", "text": LONG}
            assert runtime.ingest(document)["chunks"] == 9
            assert runtime.ingest(document)["unchanged"] == 1
            assert runtime.ingest({**document, "text": "The quxfee was abolished."})["updated"] == 1
            question = {"messages": [{"role": "user", "content": "What is the quxfee?"}]}
            values = await runtime.sdk().runs.wait(None, "document_analyst", input=question)
            assert "abolished" in values["answer"]
            assert "crowns" not in values["answer"]


async def test_a_model_that_comes_later(tmp_path: Path, new_database: Callable[[], str]) -> None:
    port = free_port()
    environment = runtime_environment(
        new_database(), MODEL_BASE_URL=f"http://127.0.0.1:{port}/v1", MODEL_NAME="offline-rules-1"
    )
    with runtime_started(tmp_path, environment, until="/live") as runtime:
        status, checks = _ready(runtime)
        assert status == 503
        assert checks["model"] == {"ok": False, "detail": "ModelFailed"} | {
            "duration_ms": checks["model"]["duration_ms"]
        }
        assert checks["vector_store"]["detail"] == (
            "long-term memory is not open: offline-hash-1: APIConnectionError"
        )
        with model_started(port):
            wait_until(lambda: _ready(runtime)[0] == 200, 60, "the runtime to open its memory")
            assert "suffice" in await _answered(runtime)


# --- long-term memory over a store without transactions -----------------------------------------------------
async def _embed(texts: list[str]) -> Embedded:
    return Embedded("test", [[1.0, float(len(text))] for text in texts], TokenUsage())


@pytest.fixture
def qdrant() -> Iterator[QdrantStandIn]:
    with qdrant_started() as running:
        yield running


@pytest.fixture
async def memory(qdrant: QdrantStandIn) -> AsyncIterator[LongTermMemory]:
    store = QdrantStore(qdrant.url.replace("qdrant", "http"), api_key=qdrant.api_key)
    yield LongTermMemory(store)
    await store.close()


async def test_a_document_half_written_is_written_again(
    memory: LongTermMemory, qdrant: QdrantStandIn
) -> None:
    assert await memory.open(_embed)
    document = Document("fees", "Fees", LONG)
    # The look for what is known and all chunks but the first pass; then the store fails.
    qdrant.fail_next[:] = [None, None, 500]
    with pytest.raises(Unavailable):
        await memory.ingest([document], _embed)
    assert len(qdrant.collections[f"memory_{COLLECTION}"].points) == 8
    again = await memory.ingest([document], _embed)
    assert (again.updated, again.unchanged) == (1, 0)
    assert [passage.number for passage in await memory.read("fees")] == list(range(9))
    assert (await memory.ingest([document], _embed)).unchanged == 1


async def test_memory_opens_once_the_model_answers(
    memory: LongTermMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_term, "OPEN_PAUSE_S", 0.01)
    calls = 0

    async def loading(texts: list[str]) -> Embedded:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ModelFailed("the model loads")
        return await _embed(texts)

    assert not await memory.open(loading)
    for question in (memory.search("x", _embed), memory.ingest([], _embed), memory.health()):
        with pytest.raises(Unavailable, match="not open: the model loads") as closed:
            await question
        assert closed.value.code == "memory_not_open"
    await memory.open_later(loading)
    assert memory.missing is None
    assert calls == 3


async def test_a_collection_of_another_size_refuses_the_start(memory: LongTermMemory) -> None:
    await memory.store.ensure(COLLECTION, 7)
    with pytest.raises(DatabaseUnready, match="holds vectors of 7 numbers"):
        await memory.open(_embed)
