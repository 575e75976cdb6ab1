"""What a tenant's runtime says of its agents and of the course of its runs. Nothing here reads what was said in one.

Asked as auditor, whoever asks: the runtime itself gives an auditor neither messages nor arguments.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from controlplane.accounts.access import Principal, access_require
from controlplane.accounts.roles import TENANTS_READ
from controlplane.core.errors import FreeholdError, NotFound
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_client import RuntimeClient, runtime_open, runtime_open_own

#: What a run can be, in the words of the runtime's API.
PENDING: Final = "pending"
RUNNING: Final = "running"
SUCCESS: Final = "success"
ERROR: Final = "error"
TIMEOUT: Final = "timeout"
INTERRUPTED: Final = "interrupted"
RUN_STATUSES: Final = (PENDING, RUNNING, SUCCESS, ERROR, TIMEOUT, INTERRUPTED)
ACTIVE: Final = (PENDING, RUNNING)
RUNS_SHOWN: Final = 25

Row = dict[str, Any]


def _watch(principal: Principal, tenant: Tenant, now: datetime) -> RuntimeClient:
    access_require(principal, TENANTS_READ)
    return runtime_open(principal=principal, tenant=tenant, role="auditor", now=now)


def runtime_look(
    *, principal: Principal, tenant: Tenant, filters: Mapping[str, str], before: int | None, now: datetime
) -> Row:
    """{info, runs, next, runs_error}: the runtime's own description and its newest runs. A release that cannot list
    runs still tells its agents; `runs_error` then says why. Raises what runtime_client.py names."""
    client = _watch(principal, tenant, now)
    info = _object(client.get("/info"))
    asked: dict[str, str | int] = {name: value for name, value in filters.items() if value}
    if before is not None:
        asked["before"] = before
    try:
        listed = _object(client.get("/admin/runs", {**asked, "limit": RUNS_SHOWN}))
    except FreeholdError as error:
        return {"info": info, "runs": [], "next": None, "runs_error": error}
    return {"info": info, "runs": listed.get("results", []), "next": listed.get("next"), "runs_error": None}


def runtime_info(*, principal: Principal, tenant: Tenant, now: datetime) -> Row:
    return _object(_watch(principal, tenant, now).get("/info"))


def runtime_agents(*, tenant: Tenant, now: datetime) -> dict[str, str]:
    """Name -> description of its agents, for people who are nobody in the runtime. Raises what runtime_client.py
    names."""
    agents = _object(runtime_open_own(tenant=tenant, now=now).get("/info")).get("agents", [])
    return {str(each.get("name", "")): str(each.get("description") or "") for each in agents}


def run_course(*, principal: Principal, tenant: Tenant, thread_id: UUID, run_id: UUID, now: datetime) -> Row:
    """One run: its calls in order, each with when, how long and how many tokens. NotFound for one of another thread."""
    course = _object(_watch(principal, tenant, now).get(f"/admin/runs/{run_id}"))
    if course.get("thread_id") != str(thread_id):
        raise NotFound("There is no such run on this thread.")
    return course


def _object(answer: Any) -> Row:
    return answer if isinstance(answer, dict) else {}
