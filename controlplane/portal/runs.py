"""The trace of one run: its course for everybody who sees the tenant, what was said in it for those who may."""

import json
from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext

from controlplane.accounts import roles
from controlplane.accounts.access import Principal
from controlplane.core import clock
from controlplane.core.errors import FreeholdError, NotFound, PermissionDenied
from controlplane.portal.agents import run_row, runs_named
from controlplane.portal.pages import page
from controlplane.portal.run_causes import run_cause
from controlplane.portal.tenants import tenant_frame
from controlplane.portal.trace import WIDTH, trace_of
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_activity import ACTIVE, run_course
from controlplane.tenants.runtime_runs import run_content_read
from controlplane.tenants.selectors import tenant_get

#: Characters of one piece of content: a page is to be read, not to be scrolled for minutes.
PIECE_MAX: Final = 20_000


@page(roles.TENANTS_READ)
def tenant_run(
    request: HttpRequest, principal: Principal, slug: str, thread_id: UUID, run_id: UUID
) -> HttpResponse:
    found = tenant_get(principal=principal, slug=slug)
    return _run(request, principal, found, thread_id, run_id, {})


@page(roles.TENANTS_READ, methods=("GET", "HEAD", "POST"))
def tenant_run_content(
    request: HttpRequest, principal: Principal, slug: str, thread_id: UUID, run_id: UUID
) -> HttpResponse:
    """The same page with what was said. A POST, so that nobody else's link writes an audit row in one's name."""
    found = tenant_get(principal=principal, slug=slug)
    if request.method != "POST":
        return HttpResponseRedirect(reverse("portal:tenant-run", args=[slug, thread_id, run_id]))
    extra: dict[str, Any] = {}
    try:
        content = run_content_read(
            principal=principal, tenant=found, thread_id=thread_id, run_id=run_id, now=clock.now()
        )
        extra["content"] = content_shown(content)
    except (NotFound, PermissionDenied):
        raise
    except FreeholdError as error:
        extra["content_trouble"] = error
    return _run(request, principal, found, thread_id, run_id, extra)


def _run(
    request: HttpRequest,
    principal: Principal,
    tenant: Tenant,
    thread_id: UUID,
    run_id: UUID,
    extra: dict[str, Any],
) -> HttpResponse:
    now = clock.now()
    context: dict[str, Any] = {
        "thread_id": str(thread_id),
        "run_id": str(run_id),
        "command": f"curl -s {tenant.runtime_url}/admin/runs/{run_id} "
        f'-H "x-api-key: $(freehold tenants token {tenant.slug} | tail -1)"',
        **extra,
    }
    try:
        course = run_course(principal=principal, tenant=tenant, thread_id=thread_id, run_id=run_id, now=now)
        (row,) = runs_named(principal, [run_row(course)])
        context |= {
            "run": row,
            "course": course,
            "trace": trace_of(course, now),
            "width": WIDTH,
            "is_active": row.status in ACTIVE,
            "cause": run_cause(row.error_code) if row.error_code else None,
        }
    except (NotFound, PermissionDenied):
        raise
    except FreeholdError as error:
        context["trouble"] = error
    return tenant_frame(
        request, principal, "portal/tenant_run.html", tenant, context, tab="tenant-agents",
        leaf=gettext("Run %(id)s") % {"id": str(run_id)[:8]},
    )  # fmt: skip


def content_shown(content: dict[str, Any]) -> dict[str, Any]:
    """{input, error, steps: [(number, node, text, cut)]}, each piece as text of bounded length."""
    steps = []
    for place, written in content["steps"].items():
        number, _, node = place.partition(":")
        steps.append((int(number), node, *_piece(written)))
    error = content.get("error") or {}
    return {
        "input": _piece(content["input"]) if content["input"] is not None else None,
        "error": str(error.get("detail") or ""),
        "steps": sorted(steps, key=lambda step: step[0]),
    }


def _piece(value: Any) -> tuple[str, bool]:
    text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
    return text[:PIECE_MAX], len(text) > PIECE_MAX
