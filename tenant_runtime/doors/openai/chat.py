"""`POST /v1/chat/completions`: one run on a thread of its own, as a whole or in pieces.

The client keeps the conversation and sends all of it each time, so nothing is left behind. An agent that stops to
ask a person cannot be answered here; `/v1/responses` can.
"""

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tenant_runtime.doors.openai.errors import error_body
from tenant_runtime.doors.openai.models import model_agent
from tenant_runtime.doors.openai.requests import ChatRequest, chat_check, chat_messages
from tenant_runtime.doors.outcomes import STREAM_MODES, Outcome, Usage, outcome_wait, texts_follow, usage_of
from tenant_runtime.doors.texts import remainder
from tenant_runtime.engine.serial import dumps
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime
from tenant_runtime.service.waiting import cancel_later
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

router = APIRouter()
#: Clients of OpenAI repeat what answered 500, three runs for one question, unless told not to.
NO_RETRY: Final = {"x-should-retry": "false"}


@router.post("/v1/chat/completions")
async def chat_create(body: ChatRequest, runtime: InRuntime, caller: Caller) -> Response:
    chat_check(body)
    agent = model_agent(runtime, body.model)
    run = await run_start(
        runtime, principal=caller, assistant_ref=agent.entry.name, thread_id=None,
        request=RunRequest.model_validate({
            "assistant_id": agent.entry.name, "input": {"messages": chat_messages(body)},
            "metadata": {"door": "openai.chat"}, "stream_mode": STREAM_MODES if body.stream else "values",
        }),
    )  # fmt: skip
    run_id: uuid.UUID = run["run_id"]
    if body.stream:
        usage_wanted = body.stream_options is not None and body.stream_options.include_usage
        chunks = _chunks(runtime, run_id, body.model, usage_wanted=usage_wanted)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(chunks, media_type="text/event-stream", headers=headers)
    outcome = await outcome_wait(runtime, run_id)
    if failure := _failure(outcome):
        return JSONResponse(failure, 500, headers=NO_RETRY)
    choice = {
        "index": 0, "finish_reason": "stop", "logprobs": None,
        "message": {"role": "assistant", "content": outcome.text, "refusal": None},
    }  # fmt: skip
    usage = usage_render(await usage_of(runtime, run_id))
    return JSONResponse({**_head(run_id, body.model, "chat.completion"), "choices": [choice], "usage": usage})


def usage_render(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def _head(run_id: uuid.UUID, model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{run_id.hex}", "object": kind, "created": int(time.time()), "model": model}


def _failure(outcome: Outcome) -> dict[str, Any] | None:
    if outcome.error is not None:
        return error_body(500, code=outcome.error[0], message=outcome.error[1])
    if outcome.canceled:
        return error_body(500, code="run_canceled", message="the run was canceled")
    return None


async def _chunks(
    runtime: Runtime, run_id: uuid.UUID, model: str, *, usage_wanted: bool
) -> AsyncIterator[str]:
    head = _head(run_id, model, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        more = {"usage": None} if usage_wanted else {}
        return f"data: {dumps({**head, 'choices': [choice], **more})}\n\n"

    said, over = "", False
    try:
        yield chunk({"role": "assistant", "content": ""})
        async with aclosing(texts_follow(runtime, run_id)) as texts:
            async for text in texts:
                if text is None:
                    yield ": heartbeat\n\n"
                    continue
                said += text
                yield chunk({"content": text})
        outcome = await outcome_wait(runtime, run_id)
        over = True
        if failure := _failure(outcome):
            yield f"data: {dumps(failure)}\n\n"
            return
        if rest := remainder(said, outcome.text):
            yield chunk({"content": rest})
        yield chunk({}, "stop")
        if usage_wanted:
            usage = usage_render(await usage_of(runtime, run_id))
            yield f"data: {dumps({**head, 'choices': [], 'usage': usage})}\n\n"
        yield "data: [DONE]\n\n"
    finally:
        if not over:
            cancel_later(runtime, run_id)
