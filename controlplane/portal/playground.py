"""The playground: a conversation of one's own with an agent of a tenant's runtime.

Its address names the thread, so that a reload keeps the conversation; the runtime shows a person their own threads
only. Without scripts a message is a form, and the page after it waits a little for the run. Runs are the tenant's.
"""

import json
from typing import Any, Final
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_noop

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied
from controlplane.portal.agents import run_row
from controlplane.portal.calling import run_command
from controlplane.portal.pages import act, once, page
from controlplane.portal.run_causes import run_cause
from controlplane.portal.spoken import spoken
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_activity import ACTIVE, run_course, runtime_info
from controlplane.tenants.runtime_runs import MESSAGE_MAX, run_begin, run_stop, run_wait, thread_read
from controlplane.tenants.selectors import tenant_get

#: Characters of one message on the page, and messages of a conversation: the trace has the rest.
SHOWN_MAX: Final = 20_000
MESSAGES_SHOWN: Final = 200
#: What stands in an offered answer where the person has to write something.
_GAP: Final = "..."
_CHOICE_MAX: Final = 100
_CHOICES: Final = 6
_ROLES: Final = {
    "human": gettext_noop("You"),
    "ai": "",
    "AIMessageChunk": "",
    "tool": gettext_noop("Tool"),
    "system": gettext_noop("System"),
}


@page(roles.TENANTS_WRITE)
def playground(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    thread_id, run_id = _uuid(request.GET.get("thread")), _uuid(request.GET.get("run"))
    if request.GET.get("wait") and thread_id and run_id:
        run_wait(principal=principal, tenant=found, thread_id=thread_id, run_id=run_id, now=clock.now())
    context: dict[str, Any] = {"thread_id": thread_id, "message_max": MESSAGE_MAX}
    try:
        now = clock.now()
        info = runtime_info(principal=principal, tenant=found, now=now)
        context |= {"info": info, "agents": info.get("agents", [])}
        talk = _talk(principal, found, thread_id) if thread_id else {}
        context |= talk | _agent(context["agents"], request.GET.get("agent", ""), talk)
        name = (context["agent"] or {}).get("name", "")
        context["command"] = f"{run_command(found.slug)} --agent {name}"
    except PermissionDenied:
        raise
    except NotFound:
        raise NotFound(gettext("There is no such conversation of yours.")) from None
    except FreeholdError as error:
        context["trouble"] = error
    return tenant_frame(
        request,
        principal,
        "portal/playground.html",
        found,
        context,
        tab="tenant-agents",
        leaf=gettext("Playground"),
    )


@page(roles.TENANTS_WRITE, methods=("POST",))
def playground_say(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    """Begins a run with the message. Scripts ask for JSON and follow the run themselves."""
    found = tenant_get(principal=principal, slug=slug)
    posted = request.POST
    agent, thread_id = posted.get("agent", "")[:100], _uuid(posted.get("thread"))
    # The same form sent again speaks of the same conversation, also when the first answer was lost.
    fresh = uuid5(NAMESPACE_URL, f"playground:{principal.actor}:{posted.get('form_key') or uuid4()}")
    begun: list[tuple[UUID, UUID]] = []

    def work() -> str:
        thread, run = run_begin(
            principal=principal, tenant=found, agent=agent, text=posted.get("text", ""), thread_id=thread_id,
            fresh_id=fresh, now=clock.now(),
        )  # fmt: skip
        begun.append((thread, run))
        return place(found, agent=agent, thread=str(thread), run=str(run), wait="1")

    if request.headers.get("Accept", "").startswith("application/json"):
        once(request, principal, work)
        if not begun:  # a repetition: the first answer has said it
            raise NotFound(gettext("This message was sent already."), hint=gettext("Reload the page."))
        thread, run = begun[0]
        stream = reverse("portal:playground-stream", args=[found.slug, thread, run])
        return JsonResponse(
            {
                "place": place(found, agent=agent, thread=str(thread)),
                "stream": stream,
                "thread": thread,
                "run": run,
            }
        )
    back = place(found, agent=agent, **({"thread": str(thread_id)} if thread_id else {}))
    return act(request, principal, back=back, work=work)


@page(roles.TENANTS_WRITE, methods=("POST",))
def playground_stop(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    posted = request.POST
    thread_id, run_id = _uuid(posted.get("thread")), _uuid(posted.get("run"))
    if thread_id is None or run_id is None:
        raise NotFound(gettext("There is no such run of yours."))
    back = place(found, agent=posted.get("agent", "")[:100], thread=str(thread_id), run=str(run_id), wait="1")

    def work() -> str:
        try:
            run_stop(principal=principal, tenant=found, thread_id=thread_id, run_id=run_id, now=clock.now())
        except NotFound:
            messages.info(request, gettext("That run is over already."))
        return back

    return act(request, principal, back=back, work=work)


def place(tenant: Tenant, **params: str) -> str:
    return f"{reverse('portal:playground', args=[tenant.slug])}?{urlencode(params)}"


def _talk(principal: Principal, tenant: Tenant, thread_id: UUID) -> dict[str, Any]:
    """The conversation, the run that is going on or was the last one, and what that run took."""
    now = clock.now()
    read = thread_read(principal=principal, tenant=tenant, thread_id=thread_id, now=now)
    last = next(iter(read["runs"]), None)
    values = read["values"] if isinstance(read["values"], dict) else {"value": read["values"]}
    said = [shown for each in values.get("messages") or [] if (shown := message_shown(each)) is not None]
    context: dict[str, Any] = {
        "said": said[-MESSAGES_SHOWN:],
        "others": None if said else _text({k: v for k, v in values.items() if k != "messages"}),
        "asks": [_text(each) for each in read["interrupts"]],
        "choices": choices_of(read["interrupts"]),
        "graph": (read["thread"].get("metadata") or {}).get("graph_id", ""),
    }
    if last is not None:
        run_id = UUID(last["run_id"])
        error = last.get("error") or {}
        context |= {
            "last": last,
            "active": last["status"] in ACTIVE,
            "stream": reverse("portal:playground-stream", args=[tenant.slug, thread_id, run_id]),
            "error": error,
            "cause": run_cause(str(error["code"])) if error else None,
        }
        try:
            course = run_course(
                principal=principal, tenant=tenant, thread_id=thread_id, run_id=run_id, now=now
            )
            context |= {"course": course, "taken": run_row(course)}
        except FreeholdError:
            context["course"] = None  # the conversation is worth showing without its figures
    return context


def _agent(agents: list[dict[str, Any]], wanted: str, talk: dict[str, Any]) -> dict[str, Any]:
    """The agent of the conversation, else the one asked for, else the first."""
    names = [str(each.get("name", "")) for each in agents]
    for name in (talk.get("graph", ""), wanted):
        if name in names:
            return {"agent": agents[names.index(name)]}
    return {"agent": agents[0] if agents else None}


def choices_of(interrupts: list[Any]) -> list[str]:
    """The answers that an agent's one question offers (`resume_with`), as JSON; those with a gap to fill are left to
    the person."""
    offered = (
        interrupts[0].get("resume_with") if len(interrupts) == 1 and isinstance(interrupts[0], dict) else None
    )
    texts = [json.dumps(each) for each in offered] if isinstance(offered, list) else []
    return [text for text in texts if _GAP not in text and len(text) <= _CHOICE_MAX][:_CHOICES]


def message_shown(message: Any) -> dict[str, str] | None:
    """{id, role, who, text, calls} of a message as the runtime gives it; None for one that says nothing."""
    if not isinstance(message, dict):
        return None
    role = str(message.get("type") or message.get("role") or "ai")
    role = {"AIMessageChunk": "ai", "user": "human", "assistant": "ai"}.get(role, role)
    calls = ", ".join(str(call.get("name", "")) for call in message.get("tool_calls") or [])
    text = content_text(message.get("content"))
    if not text and not calls:
        return None
    key = str(message.get("id") or "")
    return {
        "id": key,
        "role": role,
        "who": spoken(_ROLES.get(role, role)),
        "text": text[:SHOWN_MAX],
        "calls": calls,
    }


def content_text(content: Any) -> str:
    """The text of a message: a string, or a list of blocks of which the texts count."""
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    texts = [block if isinstance(block, str) else block.get("text", "") for block in blocks if block]
    return "".join(text for text in texts if isinstance(text, str))


def _text(value: Any) -> str:
    """An agent's question or state as people read it."""
    if isinstance(value, dict) and isinstance(value.get("question"), str):
        return str(value["question"])
    if value in ({}, None, ""):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return text[:SHOWN_MAX]


def _uuid(raw: str | None) -> UUID | None:
    try:
        return UUID(raw) if raw else None
    except ValueError:
        return None
