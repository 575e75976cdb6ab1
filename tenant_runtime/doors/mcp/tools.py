"""Agents as tools: one call is one run, and a `thread_id` of an earlier call goes on where that one ended."""

import uuid
from typing import Any, Final

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError
from pydantic import Field, ValidationError
from starlette.requests import Request

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.bodies import Body
from tenant_runtime.doors.outcomes import STREAM_MODES, interrupts_of, outcome_wait, texts_follow
from tenant_runtime.doors.texts import resume_value
from tenant_runtime.errors import RuntimeFault
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.waiting import cancel_later
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

Context = ServerRequestContext[Any, Request]
Row = dict[str, Any]

INPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "message": {"type": "string", "description": "What to ask the agent, or the answer to its question"},
        "input": {"type": "object", "description": "Further members of the agent's input"},
        "thread_id": {
            "type": "string",
            "format": "uuid",
            "description": "The conversation to go on with, as an earlier answer named it",
        },
    },
    "additionalProperties": False,
}
OUTPUT_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "thread_id": {"type": "string"},
        "run_id": {"type": "string"},
        "status": {"enum": ["completed", "input_required", "failed", "canceled"]},
    },
    "required": ["text", "thread_id", "run_id", "status"],
}


class Arguments(Body):
    message: str = Field(default="", max_length=1_000_000)
    input: dict[str, Any] = {}
    thread_id: uuid.UUID | None = None


async def tools_list(context: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    runtime, _ = _asking(context)
    return types.ListToolsResult(tools=[_tool(agent) for agent in runtime.agents.all()])


def _tool(agent: LoadedAgent) -> types.Tool:
    return types.Tool(
        name=agent.entry.name,
        description=agent.entry.description or f"Asks the agent {agent.entry.name}.",
        input_schema=INPUT_SCHEMA,
        output_schema=OUTPUT_SCHEMA,
    )


async def tool_call(context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
    runtime, principal = _asking(context)
    agent = runtime.agents.find(params.name)
    if agent is None:
        raise MCPError(types.INVALID_PARAMS, f"there is no tool {params.name[:80]!r}")
    try:
        given = Arguments.model_validate(params.arguments or {})
    except ValidationError as error:
        places = sorted(
            {".".join(str(part) for part in item["loc"]) or "arguments" for item in error.errors()}
        )
        raise MCPError(
            types.INVALID_PARAMS, f"these do not fit the tool's schema: {', '.join(places)}"
        ) from error
    try:
        run = await _start(runtime, principal, agent, given)
    except RuntimeFault as fault:
        return _result(f"{fault.code}: {fault.detail}", error=True)
    return await _answer(context, runtime, run)


def _asking(context: Context) -> tuple[Runtime, Principal]:
    assert context.request is not None
    runtime: Runtime = context.request.app.state.runtime
    principal: Principal = context.request.state.principal
    return runtime, principal


async def _start(runtime: Runtime, principal: Principal, agent: LoadedAgent, given: Arguments) -> Row:
    said = {"messages": [{"role": "user", "content": given.message}]} if given.message else {}
    wanted: Row = {
        "assistant_id": agent.entry.name,
        "input": {**said, **given.input},
        "on_completion": "keep",
        "stream_mode": STREAM_MODES,
        "metadata": {"door": "mcp"},
    }
    if given.thread_id is not None and await _waits(runtime, given.thread_id, owner_filter(principal)):
        value = given.input or resume_value(given.message)
        wanted |= {"input": None, "command": {"resume": value}, "multitask_strategy": "reject"}
    request = RunRequest.model_validate(wanted)
    return await run_start(
        runtime,
        principal=principal,
        assistant_ref=agent.entry.name,
        thread_id=given.thread_id,
        request=request,
    )


async def _waits(runtime: Runtime, thread_id: uuid.UUID, owner: str | None) -> bool:
    """Whether the thread waits for an answer. Raises NotFound for a foreign one."""
    await runtime.threads.get(thread_id, owner=owner)
    last = await runtime.runs.of_thread(thread_id, limit=1, offset=0, status=None)
    return bool(last) and bool(await interrupts_of(runtime, last[0]))


async def _answer(context: Context, runtime: Runtime, run: Row) -> types.CallToolResult:
    """What the agent says on the way is told as progress, to clients that ask for it."""
    run_id: uuid.UUID = run["run_id"]
    over, pieces = False, 0
    try:
        async for text in texts_follow(runtime, run_id):
            if text is not None:
                pieces += 1
                await context.session.report_progress(pieces, message=text)
        outcome = await outcome_wait(runtime, run_id)
        over = True
    finally:
        if not over:
            cancel_later(runtime, run_id)
    status, text = "completed", outcome.text
    if outcome.error is not None:
        status, text = "failed", f"{outcome.error[0]}: {outcome.error[1]}"
    elif outcome.canceled:
        status, text = "canceled", "the run was canceled"
    elif outcome.interrupts:
        status = "input_required"
    place = {"thread_id": str(run["thread_id"]), "run_id": str(run_id), "status": status}
    return _result(text, error=status in ("failed", "canceled"), **place)


def _result(text: str, *, error: bool, **place: str) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content={"text": text, **place} if place else None,
        is_error=error,
    )
