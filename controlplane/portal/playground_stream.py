"""A run of the playground as it goes on: the runtime's event stream, cut down to what the page shows.

The browser asks the portal alone. The token for the runtime is signed for this person, lives two minutes, and never
leaves this process. Events keep the runtime's ids, so that a browser that lost its connection goes on by
`Last-Event-ID` without missing or repeating one.

events: `step` {id, name, state: begun|done|failed|asks}, `text` {id, text}, `attempt` {attempt}, `failed` {code},
`over` {status}; `gone` {title, detail}, without an id, when the runtime could not be asked.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import httpx
from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.translation import get_language, gettext, override

from controlplane.accounts import roles
from controlplane.accounts.access import access_require
from controlplane.accounts.models import User
from controlplane.accounts.selectors import principal_of_user
from controlplane.core import clock
from controlplane.core.connections import connection_give_back
from controlplane.core.errors import FreeholdError, NotAuthenticated, NotFound, PermissionDenied
from controlplane.portal.pages import failure
from controlplane.portal.playground import content_text
from controlplane.tenants.runtime_client import RuntimeClient
from controlplane.tenants.runtime_runs import own_client
from controlplane.tenants.selectors import tenant_get

#: The runtime says that it is alive every ten seconds; twice that without a word is a connection that is dead.
SILENCE_S: Final = 25.0
CONNECT_S: Final = 3.0
#: Then the browser comes again from where it was, and its session is looked at anew.
STREAM_S: Final = 600.0
#: A line of the runtime's stream. A longer one (a step's input may be all of a state) is left out.
LINE_MAX: Final = 512 * 1024
TEXT_MAX: Final = 20_000
_AI: Final = ("ai", "AIMessageChunk", "assistant")


async def playground_stream(
    request: HttpRequest, slug: str, thread_id: UUID, run_id: UUID
) -> HttpResponseBase:
    try:
        client = await sync_to_async(_open)(request, slug)
    except FreeholdError as error:
        return await sync_to_async(failure)(request, error)
    after = request.headers.get("Last-Event-ID", "")
    response = StreamingHttpResponse(
        _events(
            client,
            f"/threads/{thread_id}/runs/{run_id}/stream",
            after if after.isdigit() else "",
            get_language() or "en",
        ),
        content_type="text/event-stream",
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _open(request: HttpRequest, slug: str) -> RuntimeClient:
    """Decides as pages do. Which of the person's runs there are, the runtime decides."""
    try:
        user = request.user
        principal = principal_of_user(user=user) if isinstance(user, User) else None
        if principal is None and isinstance(user, User):
            raise PermissionDenied("You belong to no team whose tenants these are.")
        if principal is None:
            raise NotAuthenticated(
                gettext("Nobody is signed in."), hint=gettext("Sign in, then load the page again.")
            )
        if request.method != "GET":
            raise NotFound(gettext("There is nothing here but to read."))
        access_require(principal, roles.TENANTS_WRITE)
        tenant = tenant_get(principal=principal, slug=slug)
        return own_client(principal=principal, tenant=tenant, now=clock.now())
    finally:
        # The stream may last for minutes, and asks the database nothing more.
        connection_give_back()


async def _events(client: RuntimeClient, path: str, after: str, language: str) -> AsyncIterator[bytes]:
    ends = time.monotonic() + STREAM_S
    headers = {**client.headers, **({"Last-Event-ID": after} if after else {})}
    bounds = httpx.Timeout(CONNECT_S, read=SILENCE_S)
    yield b"retry: 1500\n\n"
    try:
        async with (
            httpx.AsyncClient(timeout=bounds, follow_redirects=False, trust_env=False) as http,
            http.stream("GET", client.url(path), headers=headers) as answer,
        ):
            if answer.status_code != 200:
                # The language of a request ends with its view, and the stream goes on after it.
                with override(language):
                    gone = _gone(answer.status_code)
                yield gone
                return
            async for event in _shortened(answer):
                yield event
                if time.monotonic() > ends:
                    return
    except httpx.HTTPError as error:
        # Without an end of its own the browser comes again by itself; a runtime that is away will be asked anew.
        yield f": {type(error).__name__}\n\n".encode()


def _gone(status: int) -> bytes:
    detail = (
        gettext("There is no such run of yours.")
        if status == 404
        else gettext("The runtime answered with %(status)d.") % {"status": status}
    )
    return frame("gone", {"title": gettext("This run cannot be followed"), "detail": detail})


async def _shortened(answer: httpx.Response) -> AsyncIterator[bytes]:
    """The page's events out of the runtime's, and a sign of life for each of the runtime's own."""
    number, name, data = "", "", ""
    async for line in _lines(answer):
        if line is None:
            data = ""
        elif line.startswith(":"):
            yield b": heartbeat\n\n"
        elif line:
            field, _, value = line.partition(": ")
            number, name, data = (
                value if field == "id" else number,
                value if field == "event" else name,
                value if field == "data" else data,
            )
        else:
            if data and (told := told_of(name, data)) is not None:
                yield frame(*told, number=number)
            number, name, data = "", "", ""


async def _lines(answer: httpx.Response) -> AsyncIterator[str | None]:
    """Lines of bounded length; None in the place of one that was longer."""
    kept, too_long = b"", False
    async for part in answer.aiter_bytes():
        *whole, rest = (kept + part if not too_long else part).split(b"\n")
        for line in whole:
            yield None if too_long or len(line) > LINE_MAX else line.decode(errors="replace").rstrip("\r")
            too_long = False
        too_long = too_long or len(rest) > LINE_MAX
        kept = b"" if too_long else rest


def told_of(name: str, data: str) -> tuple[str, dict[str, Any]] | None:
    """What the page is told of one event of the runtime; None when it is nothing for it."""
    found: Any = None
    with suppress(ValueError):
        found = json.loads(data)
    base = name.partition("|")[0]
    if base == "messages" and isinstance(found, list) and found and isinstance(found[0], dict):
        return _text(found[0])
    if not isinstance(found, dict):
        return None
    match base:
        case "tasks":
            return "step", {
                "id": str(found.get("id", "")), "name": str(found.get("name", ""))[:100], "state": _step_state(found),
            }  # fmt: skip
        case "metadata":
            return "attempt", {"attempt": found.get("attempt", 1)}
        case "error":
            return "failed", {"code": str(found.get("error", ""))[:100]}
        case "end":
            return "over", {"status": str(found.get("status", ""))[:40]}
    return None


def _step_state(task: dict[str, Any]) -> str:
    if "input" in task:
        return "begun"
    if task.get("error"):
        return "failed"
    return "asks" if task.get("interrupts") else "done"


def _text(message: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    text = content_text(message.get("content"))
    if message.get("type") not in _AI or not text:
        return None
    return "text", {"id": str(message.get("id", "")), "text": text[:TEXT_MAX]}


def frame(name: str, data: dict[str, Any], *, number: str = "") -> bytes:
    head = f"id: {number}\n" if number.isdigit() else ""
    return f"{head}event: {name}\ndata: {json.dumps(data)}\n\n".encode()
