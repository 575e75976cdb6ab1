"""`POST /triggers/{name}`: a signed message starts a run and is answered at once; the run goes on without it.

The signature is the key: no API key is asked for. The same webhook-id again gets the first answer and starts nothing.
"""

import json
import uuid
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tenant_runtime.access.principals import Principal
from tenant_runtime.agents.payloads import payload_input
from tenant_runtime.bodies import nul_inside
from tenant_runtime.errors import Invalid, NotFound, TooLarge, Unauthenticated
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.requests import InRuntime
from tenant_runtime.starting.requests import RunRequest
from tenant_runtime.starting.runs import run_start
from tenant_runtime.triggers.loading import LoadedTrigger
from tenant_runtime.triggers.signing import signature_check
from tenant_runtime.triggers.starts import start_once, thread_of_key
from tenant_runtime.triggers.template import pointed, template_fill

router = APIRouter()
BODY_LIMIT: Final = 1024 * 1024
_MOST_KEY: Final = 1000


async def _body(request: Request) -> bytes:
    """The raw body, read no further than the limit."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > BODY_LIMIT:
            raise TooLarge(f"messages end at {BODY_LIMIT} bytes")
    return bytes(read)


def _trigger(runtime: Runtime, name: str) -> LoadedTrigger:
    """An unknown trigger and one that is switched off are answered as a wrong signature is: nobody can look around."""
    found = runtime.agents.triggers.get(name)
    if found is None or not found.secrets:
        raise Unauthenticated("no message is taken here with this signature", code="signature_invalid")
    return found


def _message(body: bytes) -> Any:
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Invalid("the message is not JSON", code="bad_json") from error
    if nul_inside(message):
        raise Invalid("the NUL character cannot be stored")
    return message


async def _thread(runtime: Runtime, trigger: LoadedTrigger, message: Any) -> uuid.UUID | None:
    if trigger.entry.thread == "event":
        return None
    key = pointed(message, trigger.entry.thread)
    if not isinstance(key, str | int) or isinstance(key, bool) or not 0 < len(str(key)) <= _MOST_KEY:
        raise Invalid(f"{trigger.entry.thread!r} must be a text or a whole number", code="trigger_misfit")
    return await thread_of_key(runtime.pool, trigger.entry.name, str(key))


async def trigger_fire(
    runtime: Runtime, trigger: LoadedTrigger, message_id: str, message: Any
) -> dict[str, Any]:
    """The run of a message that is vouched for, started now or when it came first."""
    entry = trigger.entry
    agent = runtime.agents.find(entry.agent)
    if agent is None:
        raise NotFound(f"no agent {entry.agent!r}", code="assistant_not_found")
    given = payload_input(agent, message) if entry.input is None else template_fill(entry.input, message)

    async def start(metadata: dict[str, Any]) -> dict[str, Any]:
        thread_id = await _thread(runtime, trigger, message)
        request = RunRequest(
            assistant_id=agent.assistant_id, input=given, if_not_exists="create", on_completion="keep",
            webhook=entry.webhook, metadata={**metadata, "trigger": entry.name, "webhook_id": message_id},
        )  # fmt: skip
        principal = Principal(entry.owner or f"trigger:{entry.name}", "user")
        return await run_start(
            runtime,
            principal=principal,
            assistant_ref=agent.assistant_id,
            thread_id=thread_id,
            request=request,
        )

    async with runtime.once:
        started = await start_once(runtime.pool, source=f"trigger:{entry.name}", key=message_id, start=start)
    return {
        "trigger": entry.name,
        "webhook_id": message_id,
        "run_id": str(started.run_id),
        "thread_id": str(started.thread_id),
    }


@router.post("/triggers/{name}", status_code=202)
async def trigger_receive(name: str, request: Request, runtime: InRuntime) -> Response:
    trigger = _trigger(runtime, name)
    body = await _body(request)
    signed = signature_check(body, request.headers, trigger.secrets)
    answer = await trigger_fire(runtime, trigger, signed.message_id, _message(body))
    place = f"/threads/{answer['thread_id']}/runs/{answer['run_id']}"
    return JSONResponse(answer, 202, headers={"Content-Location": place})
