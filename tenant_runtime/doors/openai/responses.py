"""`/v1/responses`: a response is a run, and `previous_response_id` leads to its thread, where the next one goes on."""

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response, StreamingResponse

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.doors.openai.answers import (
    item_render,
    part_render,
    response_render,
    response_run_id,
)
from tenant_runtime.doors.openai.models import model_agent
from tenant_runtime.doors.openai.requests import ResponseRequest, response_check, response_messages
from tenant_runtime.doors.outcomes import (
    STREAM_MODES,
    interrupts_of,
    outcome_of,
    outcome_wait,
    texts_follow,
    usage_of,
)
from tenant_runtime.doors.texts import remainder, resume_value
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.states import ACTIVE, TERMINAL
from tenant_runtime.errors import Conflict, NotFound
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime, Owner
from tenant_runtime.service.waiting import cancel_later, run_ended
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

router = APIRouter(prefix="/v1/responses")
Row = dict[str, Any]


@router.post("")
async def response_create(body: ResponseRequest, runtime: InRuntime, caller: Caller) -> Response:
    response_check(body)
    run = await _start(runtime, body, caller)
    if body.stream:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(_events(runtime, run), media_type="text/event-stream", headers=headers)
    outcome = await outcome_wait(runtime, run["run_id"])
    usage = await usage_of(runtime, run["run_id"])
    return JSONResponse(response_render(outcome.row, outcome, usage))


@router.get("/{response_id}")
async def response_get(response_id: str, runtime: InRuntime, owner: Owner) -> dict[str, Any]:
    row = await _run(runtime, response_id, owner)
    if row["status"] not in TERMINAL:
        return response_render(row)
    return response_render(row, await outcome_of(runtime, row), await usage_of(runtime, row["run_id"]))


@router.post("/{response_id}/cancel")
async def response_cancel(response_id: str, runtime: InRuntime, owner: Owner) -> dict[str, Any]:
    row = await _run(runtime, response_id, owner)
    if await runtime.run_cancel(row["run_id"], "interrupt") is None:
        raise Conflict(f"the response is over: {row['status']}", code="response_over")
    ended = await run_ended(runtime, row["run_id"]) or row
    return response_render(ended, await outcome_of(runtime, ended))


@router.delete("/{response_id}")
async def response_delete(response_id: str, runtime: InRuntime, owner: Owner) -> dict[str, Any]:
    """The response can be read no more; its conversation stays for those that follow it."""
    row = await _run(runtime, response_id, owner)
    if row["status"] in ACTIVE:
        raise Conflict("the response is not over: cancel it first", code="response_active")
    await runtime.runs.delete(row["run_id"])
    return {"id": response_id, "object": "response", "deleted": True}


async def _run(runtime: Runtime, given: str, owner: str | None) -> Row:
    try:
        return await runtime.runs.get(response_run_id(given), owner=owner)
    except NotFound:
        raise NotFound(f"no response {given[:80]!r}", code="response_not_found") from None


async def _start(runtime: Runtime, body: ResponseRequest, caller: Principal) -> Row:
    agent = model_agent(runtime, body.model)
    asked = body.model_dump(include={"metadata", "instructions", "previous_response_id", "store"})
    wanted: dict[str, Any] = {
        "assistant_id": agent.entry.name,
        "metadata": {"door": "openai.responses", "openai": {**asked, "store": body.store is not False}},
        "stream_mode": STREAM_MODES if body.stream else "values",
        "on_completion": "delete" if body.store is False else "keep",
        "multitask_strategy": "enqueue",
    }
    thread_id, messages = None, response_messages(body)
    wanted["input"] = {"messages": messages} if messages else None
    if body.previous_response_id is not None:
        previous = await _run(runtime, body.previous_response_id, owner_filter(caller))
        thread_id = previous["thread_id"]
        wanted |= await _continued(runtime, previous, messages)
    request = RunRequest.model_validate(wanted)
    return await run_start(
        runtime, principal=caller, assistant_ref=agent.entry.name, thread_id=thread_id, request=request
    )


async def _continued(runtime: Runtime, previous: Row, messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What goes on from `previous` rather than from wherever its thread is by now. Input to a run that waits for a
    person is the person's answer."""
    if previous["status"] not in TERMINAL:
        raise Conflict("the previous response is not over yet", code="response_active")
    if await interrupts_of(runtime, previous):
        said = "\n".join(item["content"] for item in messages if item["role"] == "user")
        return {"input": None, "command": {"resume": resume_value(said)}}
    async with runtime.pool.connection() as conn:
        asked = {
            "t": previous["thread_id"],
            "c": str(previous["thread_id"]),
            "r": str(previous["run_id"]),
            "s": previous["seq"],
        }
        cursor = await conn.execute(
            "SELECT EXISTS (SELECT 1 FROM runs WHERE thread_id = %(t)s AND seq > %(s)s) AS later, (SELECT "
            "checkpoint_id FROM checkpoints WHERE thread_id = %(c)s AND checkpoint_ns = '' AND "
            "metadata->>'run_id' = %(r)s ORDER BY checkpoint_id DESC LIMIT 1) AS checkpoint_id",
            asked,
        )
        found = await cursor.fetchone()
    if not found or not found["later"]:
        return {}
    if found["checkpoint_id"] is None:
        raise Conflict(
            "the conversation has gone on, and this point of it is not kept", code="response_superseded"
        )
    return {"checkpoint_id": found["checkpoint_id"]}


async def _events(runtime: Runtime, run: Row) -> AsyncIterator[str]:
    """The events of one response, numbered; the client of OpenAI puts them together again."""
    run_id: uuid.UUID = run["run_id"]
    number = 0

    def event(kind: str, **data: Any) -> str:
        nonlocal number
        body = {"type": kind, "sequence_number": number, **data}
        number += 1
        return f"event: {kind}\ndata: {dumps(body)}\n\n"

    place = {"item_id": f"msg_{run_id.hex}", "output_index": 0, "content_index": 0}
    said, over = "", False
    try:
        yield event("response.created", response=response_render(run))
        yield event("response.in_progress", response=response_render({**run, "status": "running"}))
        begun = item_render(run_id, "", "in_progress")
        yield event("response.output_item.added", output_index=0, item=begun)
        yield event("response.content_part.added", **place, part=part_render(""))
        async with aclosing(texts_follow(runtime, run_id)) as texts:
            async for text in texts:
                if text is None:
                    yield ": heartbeat\n\n"
                    continue
                said += text
                yield event("response.output_text.delta", **place, delta=text, logprobs=[])
        outcome = await outcome_wait(runtime, run_id)
        over = True
        whole = response_render(outcome.row, outcome, await usage_of(runtime, run_id))
        if outcome.error is not None or outcome.canceled:
            yield event("response.failed", response={**whole, "status": "failed"})
            return
        if rest := remainder(said, outcome.text):
            said += rest
            yield event("response.output_text.delta", **place, delta=rest, logprobs=[])
        yield event("response.output_text.done", **place, text=said, logprobs=[])
        yield event("response.content_part.done", **place, part=part_render(said))
        done = item_render(run_id, said, "completed")
        yield event("response.output_item.done", output_index=0, item=done)
        yield event("response.completed", response={**whole, "output": [done]})
    finally:
        if not over:
            cancel_later(runtime, run_id)
