"""The model a pydantic-ai agent gets: that library's OpenAI model over a transport that asks the run's context.

The library writes the request as for the chat completions API; the transport hands it to `AgentContext.chat`, where
it is metered and kept in the ledger like every other model call. No socket is opened.
"""

import json
import time
import uuid
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import httpx2
from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tenant_runtime.agents.context import current
from tenant_runtime.models.client import ChatAnswer

#: What the library sends that is the context's to say, or means nothing without a socket.
_OURS: Final = ("model", "messages", "stream", "stream_options")


@dataclass
class Faults:
    """What went wrong behind the transport. The client in between turns every exception into one of its own."""

    found: list[BaseException] = field(default_factory=list)


faults: ContextVar[Faults] = ContextVar("tenant_runtime_pydantic_ai_faults")


def completion_render(answer: ChatAnswer) -> dict[str, Any]:
    """The answer as a chat completion, with OpenAI's totals that include their parts."""
    usage = answer.usage
    prompt = usage.input + usage.cached_input + usage.cache_write
    completion = usage.output + usage.reasoning
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in answer.tool_calls
        ]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": answer.model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if answer.tool_calls else "stop"}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": usage.cached_input},
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        },
    }


class ContextTransport(httpx2.AsyncBaseTransport):
    """Answers `POST .../chat/completions` by the context of the run this code is part of."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(await request.aread())
        options = {name: value for name, value in body.items() if name not in _OURS}
        try:
            answer = await current().chat(body["messages"], **options)
        except Exception as error:
            faults.get().found.append(error)
            raise
        return httpx2.Response(200, json=completion_render(answer), request=request)


def context_model() -> OpenAIChatModel:
    """One for all runs of an agent: whose context is asked is decided by the call."""
    client = AsyncOpenAI(
        base_url="http://agent-context/v1",
        api_key="none",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=ContextTransport()),
    )
    return OpenAIChatModel("agent-context", provider=OpenAIProvider(openai_client=client))
