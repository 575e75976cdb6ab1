"""`POST /invocations` and `GET /ping`: the contract of AgentCore's containers, so its clients can call an agent here.

The body is the agent's payload and the answer is what the agent made of it. The session header names a thread; without
it nothing is kept. An async generator's items are answered as server-sent events.
"""

import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from tenant_runtime.agents.loading import LoadedAgent
from tenant_runtime.agents.payloads import payload_input
from tenant_runtime.bodies import nul_inside
from tenant_runtime.engine.events import events_follow
from tenant_runtime.engine.serial import dumps
from tenant_runtime.errors import AgentFault, Conflict, Invalid, NotFound, RequestRefused
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import Caller, InRuntime
from tenant_runtime.service.waiting import run_ended
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start

router = APIRouter()
SESSION: Final = "X-Amzn-Bedrock-AgentCore-Runtime-Session-Id"


def invoked_agent(runtime: Runtime) -> LoadedAgent:
    """The manifest's `invocations`, else the only callable, else the only agent. NotFound when that names none."""
    manifest, agents = runtime.agents.manifest, runtime.agents.all()
    if manifest is not None and manifest.invocations is not None:
        found = runtime.agents.find(manifest.invocations)
        if found is not None:
            return found
    for some in ([agent for agent in agents if agent.entry.adapter == "callable"], agents):
        if len(some) == 1:
            return some[0]
    raise NotFound(
        "which agent answers is not said: set `invocations` at the top of the manifest",
        code="invocations_unset",
    )


def session_thread(principal: str, session: str) -> uuid.UUID:
    """The thread of a caller's session: the id itself if it is a UUID, else one made of it and of the caller."""
    try:
        return uuid.UUID(session)
    except ValueError:
        return uuid.uuid5(uuid.NAMESPACE_URL, f"session:{principal}:{session}")


@router.get("/ping")
async def ping(request: Request, runtime: InRuntime) -> dict[str, Any]:
    """HealthyBusy while runs are executed here; `time_of_last_update` is when that last changed, in epoch seconds."""
    status = "HealthyBusy" if runtime.executor.running else "Healthy"
    known = getattr(request.app.state, "ping", None)
    if known is None or known[0] != status:
        known = request.app.state.ping = (status, int(time.time()))
    return {"status": status, "time_of_last_update": known[1]}


async def _payload(request: Request) -> Any:
    """The body as JSON, whatever its content type says: `curl -d` calls it a form."""
    try:
        payload = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise RequestRefused("the body is not JSON", code="bad_json") from error
    if nul_inside(payload):
        raise Invalid("the NUL character cannot be stored")
    return payload


@router.post("/invocations", response_model=None)
async def invoke(
    request: Request,
    runtime: InRuntime,
    caller: Caller,
    session: Annotated[str | None, Header(alias=SESSION, max_length=256)] = None,
) -> Response:
    payload = await _payload(request)
    agent = invoked_agent(runtime)
    wanted = RunRequest(
        assistant_id=agent.assistant_id, input=payload_input(agent, payload), if_not_exists="create",
        stream_mode=["values", "custom"] if agent.streams else "values",
    )  # fmt: skip
    run = await run_start(
        runtime, principal=caller, assistant_ref=agent.assistant_id, request=wanted,
        thread_id=session_thread(caller.id, session) if session else None,
    )  # fmt: skip
    headers = {"X-Run-Id": str(run["run_id"])} | ({SESSION: session} if session else {})
    if agent.streams:
        return StreamingResponse(
            _items(runtime, run["run_id"]), media_type="text/event-stream", headers=headers
        )
    return Response(await _answer(runtime, agent, run), media_type="application/json", headers=headers)


async def _answer(runtime: Runtime, agent: LoadedAgent, run: dict[str, Any]) -> str:
    ended = await run_ended(runtime, run["run_id"])
    if ended is None or ended["output"] is None:
        code, detail = (ended["error_code"], ended["error_detail"]) if ended else (None, None)
        raise AgentFault(detail or "the run was canceled", code=code or "run_canceled")
    if (await runtime.threads.get(run["thread_id"], owner=None))["interrupts"]:
        place = f"/threads/{run['thread_id']}"
        raise Conflict(
            f"the agent asks for a decision: look at {place}/state and resume a run there", code="interrupted"
        )
    values = json.loads(ended["output"])
    return dumps(values.get("output") if agent.entry.adapter in ("callable", "pydantic_ai") else values)


async def _items(runtime: Runtime, run_id: uuid.UUID) -> AsyncIterator[str]:
    async with aclosing(events_follow(runtime.pool, runtime.bus, run_id)) as events:
        async for item in events:
            if item is None:
                yield ": heartbeat\n\n"
            elif item.event in ("custom", "error"):
                yield f"data: {item.data}\n\n"
