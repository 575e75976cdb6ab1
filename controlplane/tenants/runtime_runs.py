"""What people do in a tenant's runtime from here: read what was said in a run, begin runs of their own, stop them.

Reading and beginning are written into the audit chain before the runtime is asked: whatever it then answers, the try
is on record, and the chain's lock is not held while another machine takes its time.
"""

import json
from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import transaction

from controlplane.accounts.access import Principal, access_require
from controlplane.accounts.roles import TENANTS_WRITE
from controlplane.core.audit import audit_record
from controlplane.core.connections import connection_give_back
from controlplane.core.errors import FreeholdError, ValidationFailed
from controlplane.core.redaction import own_redactor
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_client import RuntimeClient, runtime_open

Row = dict[str, Any]
#: Characters of one message to an agent.
MESSAGE_MAX: Final = 20_000
#: Steps of a run whose content is read at once.
STEPS_READ: Final = 100
CONTENT_WITHIN_S: Final = 6.0
#: How long a page without scripts waits for a run before it shows how far it is.
WAIT_S: Final = 10.0
#: What a stream of a run begun here consists of: steps as they begin and end, and messages piece by piece.
STREAM_MODES: Final = ("tasks", "messages-tuple")


def run_content_read(
    *, principal: Principal, tenant: Tenant, thread_id: UUID, run_id: UUID, now: datetime
) -> Row:
    """{input, error, steps: {"step:node": what the node wrote}} of anybody's run. What looks like a secret is hidden.

    Needs the scope with which one may have an operator's token, who reads everybody's threads.
    """
    access_require(principal, TENANTS_WRITE)
    _audit(principal, tenant, "tenant.run_content_read", now, thread_id=str(thread_id), run_id=str(run_id))
    client = runtime_open(
        principal=principal, tenant=tenant, role="operator", now=now, within_s=CONTENT_WITHIN_S
    )
    run = client.get(f"/threads/{thread_id}/runs/{run_id}")
    history = client.post(
        f"/threads/{thread_id}/history",
        {
            "limit": STEPS_READ,
            "metadata": {"run_id": str(run_id)},
            "select": ["metadata", "tasks", "created_at"],
        },
    )
    listed = client.get(f"/threads/{thread_id}/runs", {"limit": 100, "select": ["run_id", "kwargs"]})
    found: Row = {"input": _asked_for(listed, str(run_id)), "error": run.get("error"), "steps": {}}
    for state in history:
        number = state["metadata"].get("step")
        for task in state["tasks"]:
            written = task.get("result")
            if task["interrupts"]:
                written = written or {"asks": task["interrupts"]}
            # The first step only takes in what was asked.
            if isinstance(number, int) and written is not None and task["name"] != "__start__":
                found["steps"][f"{number + 1}:{task['name']}"] = written
    shown: Row = own_redactor().value(found)
    return shown


def _asked_for(listed: Any, run_id: str) -> Any:
    for row in listed if isinstance(listed, list) else []:
        if row.get("run_id") == run_id:
            kwargs = row.get("kwargs") or {}
            return kwargs.get("command") or kwargs.get("input")
    return None


def run_begin(
    *,
    principal: Principal,
    tenant: Tenant,
    agent: str,
    text: str,
    thread_id: UUID | None,
    fresh_id: UUID,
    now: datetime,
) -> tuple[UUID, UUID]:
    """(thread, run): a run on a thread of the person's own. Without `thread_id` the conversation begins on `fresh_id`,
    which a repeated request should bring again. On a thread that waits for an answer, the text is the answer.

    Raises NotFound for somebody else's thread, and RuntimeRefused while another run is going on there.
    """
    access_require(principal, TENANTS_WRITE)
    given = text.strip()
    if not given or len(given) > MESSAGE_MAX:
        raise ValidationFailed.of("text", f"write something, at most {MESSAGE_MAX:,} characters")
    client = own_client(principal=principal, tenant=tenant, now=now)
    body: Row = {
        "assistant_id": agent,
        "stream_mode": list(STREAM_MODES),
        "multitask_strategy": "reject",
        "metadata": {"started_in": "playground"},
        "if_not_exists": "reject" if thread_id else "create",
    }
    waits = thread_id is not None and client.get(f"/threads/{thread_id}").get("status") == "interrupted"
    body |= {"command": {"resume": _meant(given)}} if waits else {"input": _input_of(given)}
    thread = thread_id or fresh_id
    _audit(principal, tenant, "tenant.run_requested", now, thread_id=str(thread), agent=agent)
    run = client.post(f"/threads/{thread}/runs", body)
    return thread, UUID(run["run_id"])


def run_stop(*, principal: Principal, tenant: Tenant, thread_id: UUID, run_id: UUID, now: datetime) -> None:
    """Asks a run of one's own to end. What it has used until then is billed."""
    access_require(principal, TENANTS_WRITE)
    client = own_client(principal=principal, tenant=tenant, now=now)
    _audit(principal, tenant, "tenant.run_stopped", now, thread_id=str(thread_id), run_id=str(run_id))
    client.post(f"/threads/{thread_id}/runs/{run_id}/cancel")


def run_wait(*, principal: Principal, tenant: Tenant, thread_id: UUID, run_id: UUID, now: datetime) -> None:
    """Until a run of one's own is over, or WAIT_S have passed. Whatever keeps it from being known, it goes on."""
    access_require(principal, TENANTS_WRITE)
    with suppress(FreeholdError):
        client = runtime_open(principal=principal, tenant=tenant, role="user", now=now, within_s=WAIT_S)
        connection_give_back()
        client.get(f"/threads/{thread_id}/runs/{run_id}/join")


def own_client(*, principal: Principal, tenant: Tenant, now: datetime) -> RuntimeClient:
    """Sees what this person made, and nobody else's: the runtime's role `user`."""
    return runtime_open(principal=principal, tenant=tenant, role="user", now=now)


def thread_read(*, principal: Principal, tenant: Tenant, thread_id: UUID, now: datetime) -> Row:
    """{thread, values, interrupts, runs}: a conversation of one's own, its newest runs first."""
    access_require(principal, TENANTS_WRITE)
    client = own_client(principal=principal, tenant=tenant, now=now)
    thread = client.get(f"/threads/{thread_id}")
    state = client.get(f"/threads/{thread_id}/state")
    runs = client.get(f"/threads/{thread_id}/runs", {"limit": 10})
    asked = [each.get("value") for task in state["tasks"] for each in task["interrupts"]]
    shown: Row = own_redactor().value(
        {"thread": thread, "values": state["values"], "interrupts": asked, "runs": runs}
    )
    return shown


def _input_of(text: str) -> Row:
    """A JSON object is the agent's whole input, for agents that take no messages; anything else is one message."""
    meant = _meant(text) if text.startswith("{") else None
    if isinstance(meant, dict):
        return meant
    return {"messages": [{"role": "user", "content": text, "id": str(uuid4())}]}


def _meant(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _audit(principal: Principal, tenant: Tenant, action: str, now: datetime, **data: str) -> None:
    with transaction.atomic():
        audit_record(
            at=now,
            actor=principal.actor,
            action=action,
            subject_type="tenant",
            subject_id=str(tenant.id),
            team_id=tenant.team_id,
            data=data,
        )
