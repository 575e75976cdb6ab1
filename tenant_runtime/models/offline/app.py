"""The OpenAI-compatible endpoint around the rules: chat completions, embeddings, models, and its own counters."""

import asyncio
import base64
import json
import struct
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from tenant_runtime.models.offline import hashing, rules
from tenant_runtime.models.offline.words import prompt_tokens_count, tokens_count
from tenant_runtime.settings import OFFLINE_EMBEDDING, OFFLINE_MODEL


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    tools: list[dict[str, Any]] | None = None
    tool_choice: Any = "auto"
    response_format: dict[str, Any] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None


class EmbeddingsRequest(BaseModel):
    model_config = ConfigDict(extra="ignore")

    model: str
    input: str | list[str]
    encoding_format: str = "float"


def _refusal(status: int, message: str, code: str) -> JSONResponse:
    body = {"error": {"message": message, "type": "invalid_request_error", "param": "model", "code": code}}
    return JSONResponse(body, status_code=status)


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _message(answer: rules.Reply, seed: str) -> tuple[dict[str, Any], str, int]:
    """(assistant message, finish reason, completion tokens) of a reply."""
    if answer.tool_name is None:
        text = answer.text or ""
        return {"role": "assistant", "content": text, "refusal": None}, "stop", tokens_count(text)
    function = {"name": answer.tool_name, "arguments": answer.tool_arguments}
    call = {"id": f"call_{seed[:16]}", "type": "function", "function": function}
    count = tokens_count(json.dumps(function, sort_keys=True))
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [call]}, "tool_calls", count


def _chunks(message: dict[str, Any], finish: str) -> list[dict[str, Any]]:
    """The message cut into deltas: words of the text, or the whole tool call."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    if message.get("tool_calls"):
        deltas.append({"tool_calls": [{"index": 0, **message["tool_calls"][0]}]})
    else:
        pieces = (message["content"] or "").split(" ")
        deltas.extend({"content": piece if at == 0 else f" {piece}"} for at, piece in enumerate(pieces))
    rows: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    return [*rows, {"index": 0, "delta": {}, "finish_reason": finish}]


def offline_app() -> FastAPI:
    """A fresh endpoint. `app.state.counters` adds up what it answered, for whoever wants to check a bill."""
    app = FastAPI(title=OFFLINE_MODEL, openapi_url=None)
    counters = {"chat_calls": 0, "embedding_calls": 0, "prompt_tokens": 0, "completion_tokens": 0}
    app.state.counters = counters

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        rows = [
            {"id": name, "object": "model", "created": 0, "owned_by": "tenant_runtime"}
            for name in (OFFLINE_MODEL, OFFLINE_EMBEDDING)
        ]
        return {"object": "list", "data": rows}

    @app.get("/v1/counters")
    async def counted() -> dict[str, int]:
        return counters

    @app.post("/v1/chat/completions", response_model=None)
    async def chat(body: ChatRequest) -> JSONResponse | StreamingResponse:
        if body.model != OFFLINE_MODEL:
            return _refusal(404, f"model {body.model!r} is not here; {OFFLINE_MODEL} is", "model_not_found")
        answer = rules.reply(body.messages, body.tools, body.response_format, body.tool_choice)
        prompt = prompt_tokens_count(body.messages, body.tools)
        seed = uuid.uuid4().hex
        message, finish, completion = _message(answer, seed)
        counters["chat_calls"] += 1
        counters["prompt_tokens"] += prompt
        counters["completion_tokens"] += completion
        head = {"id": f"chatcmpl-{seed}", "created": int(time.time()), "model": OFFLINE_MODEL}
        usage = _usage(prompt, completion)
        if not body.stream:
            choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
            return JSONResponse({**head, "object": "chat.completion", "choices": [choice], "usage": usage})

        async def lines() -> AsyncIterator[str]:
            for choice in _chunks(message, finish):
                yield f"data: {json.dumps({**head, 'object': 'chat.completion.chunk', 'choices': [choice]})}\n\n"
                await asyncio.sleep(0)
            if (body.stream_options or {}).get("include_usage"):
                last = {**head, "object": "chat.completion.chunk", "choices": [], "usage": usage}
                yield f"data: {json.dumps(last)}\n\n"
            yield "data: [DONE]\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    @app.post("/v1/embeddings", response_model=None)
    async def embeddings(body: EmbeddingsRequest) -> JSONResponse:
        if body.model != OFFLINE_EMBEDDING:
            return _refusal(
                404, f"model {body.model!r} is not here; {OFFLINE_EMBEDDING} is", "model_not_found"
            )
        texts = [body.input] if isinstance(body.input, str) else body.input
        prompt = sum(tokens_count(text) for text in texts)
        counters["embedding_calls"] += 1
        counters["prompt_tokens"] += prompt
        rows = []
        for index, text in enumerate(texts):
            vector: list[float] | str = hashing.embed(text)
            if body.encoding_format == "base64":
                vector = base64.b64encode(struct.pack(f"<{hashing.DIMENSIONS}f", *vector)).decode()
            rows.append({"object": "embedding", "index": index, "embedding": vector})
        usage = {"prompt_tokens": prompt, "total_tokens": prompt}
        return JSONResponse({"object": "list", "data": rows, "model": OFFLINE_EMBEDDING, "usage": usage})

    return app
