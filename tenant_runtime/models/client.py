"""The one OpenAI-compatible client. Offline it talks to the stand-in inside this process, over ASGI."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

# openai 3 is built on httpx2 and brings it along; its transports are what AsyncOpenAI wants.
import httpx2
from openai import APIError, AsyncOpenAI

from tenant_runtime.errors import ModelFailed
from tenant_runtime.settings import Settings


@dataclass(frozen=True)
class TokenUsage:
    """Disjoint parts: `input` excludes cached tokens, `output` excludes reasoning tokens."""

    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class ToolCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class ChatAnswer:
    model: str
    text: str
    tool_calls: list[ToolCall]
    usage: TokenUsage


@dataclass(frozen=True)
class Embedded:
    model: str
    vectors: list[list[float]]
    usage: TokenUsage


def usage_split(usage: Any) -> TokenUsage:
    """OpenAI's counts, where parts are included in totals, as disjoint parts. A missing count is zero."""
    if usage is None:
        return TokenUsage()
    prompt_details = getattr(usage, "prompt_tokens_details", None)
    completion_details = getattr(usage, "completion_tokens_details", None)
    prompt = getattr(usage, "prompt_tokens", 0) or 0
    completion = getattr(usage, "completion_tokens", 0) or 0
    cached = min(getattr(prompt_details, "cached_tokens", 0) or 0, prompt)
    written = min(getattr(prompt_details, "cache_write_tokens", 0) or 0, prompt - cached)
    reasoning = min(getattr(completion_details, "reasoning_tokens", 0) or 0, completion)
    return TokenUsage(prompt - cached - written, cached, written, completion - reasoning, reasoning)


class ModelClient:
    """Chat and embeddings. Every failure of the endpoint is ModelFailed; retries are the client's (2)."""

    def __init__(self, client: AsyncOpenAI, *, model: str, embedding_model: str, offline: bool) -> None:
        self._client = client
        self.model = model
        self.embedding_model = embedding_model
        self.offline = offline

    async def chat(
        self, messages: list[dict[str, Any]], *, model: str | None = None, **options: Any
    ) -> ChatAnswer:
        """One answer. `options` are the endpoint's own: `tools`, `response_format`, `temperature`..."""
        given: Any = messages
        try:
            done = await self._client.chat.completions.create(
                model=model or self.model, messages=given, **options
            )
        except APIError as error:
            raise ModelFailed(f"{model or self.model}: {type(error).__name__}") from error
        if not done.choices:
            raise ModelFailed(f"{done.model}: the endpoint answered without a choice")
        message = done.choices[0].message
        calls = [
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in message.tool_calls or []
            if call.type == "function"
        ]
        return ChatAnswer(done.model, message.content or "", calls, usage_split(done.usage))

    async def embed(self, texts: list[str]) -> Embedded:
        try:
            done = await self._client.embeddings.create(
                model=self.embedding_model, input=texts, encoding_format="float"
            )
        except APIError as error:
            raise ModelFailed(f"{self.embedding_model}: {type(error).__name__}") from error
        rows = sorted(done.data, key=lambda row: row.index)
        return Embedded(done.model, [list(row.embedding) for row in rows], usage_split(done.usage))

    async def ping(self) -> list[str]:
        """The endpoint's model ids; ModelFailed when it does not answer."""
        try:
            page = await self._client.with_options(timeout=3, max_retries=0).models.list()
        except APIError as error:
            raise ModelFailed(f"models: {type(error).__name__}") from error
        return [row.id for row in page.data]


@asynccontextmanager
async def model_open(settings: Settings) -> AsyncIterator[ModelClient]:
    """The client for the settings; with no MODEL_BASE_URL it speaks to the in-process stand-in."""
    offline = settings.model_base_url is None
    if offline:
        from tenant_runtime.models.offline.app import offline_app

        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=offline_app()))
        client = AsyncOpenAI(base_url="http://offline-rules/v1", api_key="offline", http_client=http)
    else:
        client = AsyncOpenAI(
            base_url=settings.model_base_url,
            api_key=settings.model_api_key or "none",
            timeout=120,
            max_retries=2,
        )
    try:
        yield ModelClient(
            client, model=settings.model_name, embedding_model=settings.embedding_model, offline=offline
        )
    finally:
        await client.close()
