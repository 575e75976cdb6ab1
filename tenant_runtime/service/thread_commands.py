"""Commands of the thread protocol: begin a run, answer an interrupt, look at state, fork it."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from fastapi import APIRouter
from pydantic import ValidationError

from tenant_runtime.access.principals import Principal
from tenant_runtime.access.visibility import owner_filter
from tenant_runtime.bodies import Body
from tenant_runtime.errors import Conflict
from tenant_runtime.protocol.translation import MODES
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

router = APIRouter(prefix="/threads", tags=["threads"])
Row = dict[str, Any]


class CommandFrame(Body):
    id: int
    method: str
    params: Row = {}


class _Wrong(Exception):
    """A protocol error: `code` is one of the protocol's words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def _begin(
    runtime: Runtime, thread_id: uuid.UUID, caller: Principal, *, assistant: str, create: bool, **members: Any
) -> Row:
    given = {name: value for name, value in members.items() if value is not None}
    request = RunRequest.model_validate(
        given
        | {
            "assistant_id": assistant,
            "stream_mode": list(MODES),
            "stream_subgraphs": True,
            "multitask_strategy": "enqueue",
            "if_not_exists": "create" if create else "reject",
        }
    )
    run = await run_start(
        runtime, principal=caller, assistant_ref=assistant, thread_id=thread_id, request=request
    )
    return {"run_id": str(run["run_id"])}


async def _run_start(runtime: Runtime, thread_id: uuid.UUID, caller: Principal, params: Row) -> Row:
    return await _begin(
        runtime, thread_id, caller, assistant=str(params.get("assistant_id") or ""), create=True,
        input=params.get("input"), config=params.get("config"), metadata=params.get("metadata"),
    )  # fmt: skip


async def _thread_assistant(runtime: Runtime, thread_id: uuid.UUID, caller: Principal) -> str:
    thread = await runtime.threads.get(thread_id, owner=owner_filter(caller))
    found = thread["metadata"].get("assistant_id") or thread["metadata"].get("graph_id")
    if not found:
        raise Conflict("the thread has no agent yet: run one on it first", code="thread_without_agent")
    return str(found)


async def _input_respond(runtime: Runtime, thread_id: uuid.UUID, caller: Principal, params: Row) -> Row:
    assistant = await _thread_assistant(runtime, thread_id, caller)
    thread = await runtime.threads.get(thread_id, owner=owner_filter(caller))
    open_ = {each["id"] for found in thread["interrupts"].values() for each in found}
    answers = params.get("responses") or [params]
    resume = {str(each.get("interrupt_id")): each.get("response") for each in answers}
    if unknown := resume.keys() - open_:
        raise _Wrong("no_such_interrupt", f"not open on this thread: {', '.join(sorted(unknown))[:200]}")
    command = {"resume": resume} | {
        name: params[name] for name in ("update", "goto") if params.get(name) is not None
    }
    return await _begin(
        runtime, thread_id, caller, assistant=assistant, create=False, command=command,
        config=params.get("config"), metadata=params.get("metadata"),
    )  # fmt: skip


async def _state_get(runtime: Runtime, thread_id: uuid.UUID, caller: Principal, params: Row) -> Row:
    thread = await runtime.threads.get(thread_id, owner=owner_filter(caller))
    namespace = "|".join(params.get("namespace") or [])
    state = await runtime.checkpoints.state(thread, checkpoint={"checkpoint_ns": namespace})
    values = state["values"]
    if keys := params.get("keys"):
        values = {name: value for name, value in values.items() if name in keys}
    return {"values": values, "checkpoint": {"id": state["checkpoint_id"], "ns": namespace}}


async def _state_list(runtime: Runtime, thread_id: uuid.UUID, caller: Principal, params: Row) -> Row:
    thread = await runtime.threads.get(thread_id, owner=owner_filter(caller))
    before = {"checkpoint_id": str(params["before"])} if params.get("before") else None
    limit = max(1, min(int(params.get("limit") or 10), 1000))
    states = await runtime.checkpoints.history(thread, limit=limit, before=before, metadata=None)
    return {
        "checkpoints": [
            {
                "id": state["checkpoint_id"],
                "timestamp": state["created_at"],
                "step": (state["metadata"] or {}).get("step"),
                "metadata": state["metadata"],
            }
            for state in states
        ]
    }


async def _state_fork(runtime: Runtime, thread_id: uuid.UUID, caller: Principal, params: Row) -> Row:
    assistant = await _thread_assistant(runtime, thread_id, caller)
    begun = await _begin(
        runtime, thread_id, caller, assistant=assistant, create=False, input=params.get("input"),
        config=params.get("config"), checkpoint_id=str(params.get("checkpoint_id") or "") or None,
    )  # fmt: skip
    return begun | {"thread_id": str(thread_id)}


_Handler = Callable[[Runtime, uuid.UUID, Principal, Row], Awaitable[Row]]
COMMANDS: Final[dict[str, _Handler]] = {
    "run.start": _run_start,
    "input.respond": _input_respond,
    "state.get": _state_get,
    "state.listCheckpoints": _state_list,
    "state.fork": _state_fork,
}


@router.post("/{thread_id}/commands")
async def thread_command(thread_id: uuid.UUID, body: CommandFrame, runtime: InRuntime, caller: Caller) -> Row:
    """One command and its answer. What the protocol has a word for is answered as its error; who may not, or a
    thread that is not there, as a problem."""
    return await command_answer(runtime, thread_id, caller, body)


async def command_answer(
    runtime: Runtime, thread_id: uuid.UUID, caller: Principal, frame: CommandFrame
) -> Row:
    handler = COMMANDS.get(frame.method)
    try:
        if handler is None:
            raise _Wrong("unknown_command", f"{frame.method[:80]!r} is not served here")
        result = await handler(runtime, thread_id, caller, frame.params)
    except _Wrong as wrong:
        return {"type": "error", "id": frame.id, "error": wrong.code, "message": str(wrong)}
    except (ValidationError, ValueError, TypeError, AttributeError):
        message = "the parameters do not fit the command"
        return {"type": "error", "id": frame.id, "error": "invalid_argument", "message": message}
    return {"type": "success", "id": frame.id, "result": result}
