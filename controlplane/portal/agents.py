"""A tenant's agents as its runtime serves them, how each is called, and the newest runs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.accounts.selectors import people_emails
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied
from controlplane.portal.calling import run_command, snippets_of
from controlplane.portal.listing import chosen
from controlplane.portal.pages import page
from controlplane.portal.tenants import tenant_frame
from controlplane.tenants.runtime_activity import RUN_STATUSES, runtime_look
from controlplane.tenants.selectors import tenant_get

#: How a runtime names a person of the control plane (tenants/runtime_tokens.py).
_PERSON: Final = "person:"


@dataclass(frozen=True)
class RunRow:
    """A run as lists show it."""

    run_id: str
    thread_id: str
    agent: str
    user: str
    status: str
    waits: bool
    error_code: str
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    attempt: int
    tokens: int | None


@page(roles.TENANTS_READ)
def tenant_agents(request: HttpRequest, principal: Principal, slug: str) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    params = request.GET
    filters = {"status": chosen(params, "status", RUN_STATUSES), "agent": params.get("agent", "")[:100]}
    raw = params.get("before", "")
    before = int(raw) if raw.isdigit() and len(raw) < 19 and int(raw) > 0 else None
    context: dict[str, Any] = {
        "filters": filters,
        "filtered": any(filters.values()),
        "statuses": RUN_STATUSES,
        "before": before,
        "run_command": run_command(found.slug),
    }
    try:
        look = runtime_look(
            principal=principal, tenant=found, filters=filters, before=before, now=clock.now()
        )
        context |= {
            "info": look["info"],
            "agents": [agent_shown(each, found.runtime_url) for each in look["info"].get("agents", [])],
            "runs": runs_named(principal, [run_row(row) for row in look["runs"]]),
            "next": look["next"],
            "runs_error": look["runs_error"],
        }
    except (NotFound, PermissionDenied):
        raise
    except FreeholdError as error:
        context["trouble"] = error
    return tenant_frame(request, principal, "portal/tenant_agents.html", found, context, tab="tenant-agents")


def agent_shown(agent: Mapping[str, Any], url: str) -> dict[str, Any]:
    """What the runtime says of one, with how it is called. Releases before this one tell no limits."""
    name = str(agent.get("name", ""))
    return {
        **agent,
        "name": name,
        "limits": agent.get("limits") or {},
        "snippets": snippets_of(url=url, agent=name),
    }


def run_row(row: Mapping[str, Any]) -> RunRow:
    # Without a call there are none; calls that an earlier release made were not counted.
    counted = row.get("input_tokens") is not None or row.get("model_calls") == 0
    return RunRow(
        run_id=str(row["run_id"]),
        thread_id=str(row["thread_id"]),
        agent=str(row.get("agent", "")),
        user=str(row.get("user", "")),
        status=str(row.get("status", "")),
        waits=bool(row.get("waits_for_answer")),
        error_code=str(row.get("error_code") or ""),
        created_at=moment(row.get("created_at")),
        started_at=moment(row.get("started_at")),
        ended_at=moment(row.get("ended_at")),
        attempt=int(row.get("attempt") or 0),
        tokens=int(row.get("input_tokens") or 0) + int(row.get("output_tokens") or 0) if counted else None,
    )


def runs_named(principal: Principal, rows: list[RunRow]) -> list[RunRow]:
    """The same with the e-mail addresses of the team's own people, whom a runtime knows by their ids."""
    ids: dict[str, UUID] = {}
    for row in rows:
        with suppress(ValueError):
            if row.user.startswith(_PERSON):
                ids[row.user] = UUID(row.user.removeprefix(_PERSON))
    emails = people_emails(team_id=principal.team_id, user_ids=ids.values()) if ids else {}
    return [
        replace(row, user=emails.get(ids[row.user], row.user)) if row.user in ids else row for row in rows
    ]


def moment(raw: object) -> datetime | None:
    """A time as the runtime writes it; None for what is none."""
    try:
        return datetime.fromisoformat(str(raw)) if raw else None
    except ValueError:
        return None
