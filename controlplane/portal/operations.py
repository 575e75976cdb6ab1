"""Operations: the list, the live page of one, and the decisions people take on it."""

from typing import Any
from uuid import UUID, uuid4

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext

from contracts.plan_document import assessment_representation, cost_representation
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require
from controlplane.core import clock
from controlplane.core.errors import NotFound
from controlplane.operations import states
from controlplane.operations.approvals import (
    another_approves,
    operation_approve,
    operation_reject,
)
from controlplane.operations.estimates import operation_pace
from controlplane.operations.models import Operation
from controlplane.operations.selectors import (
    HEAVY_FIELDS,
    events_after,
    operation_get,
    operation_queueing,
    operations_visible,
    plan_moved,
)
from controlplane.operations.services import operation_cancel, operation_retry
from controlplane.portal.calling import run_command
from controlplane.portal.listing import chosen, page_of
from controlplane.portal.pages import abilities, act, page, show
from controlplane.portal.plan_table import plan_table
from controlplane.portal.saved_views import saved_views_bar
from controlplane.portal.timeline import timeline_of
from controlplane.portal.words import kind_text

#: More than any operation of a few hundred resources writes; the log links to the API for the rest.
EVENTS_SHOWN = 4000


@page(roles.OPERATIONS_READ)
def operations(request: HttpRequest, principal: Principal) -> HttpResponse:
    filters = {
        "state": chosen(request.GET, "state", states.STATES),
        "kind": chosen(request.GET, "kind", states.KINDS),
        "tenant": request.GET.get("tenant", "")[:40].strip(),
    }
    found = operations_visible(principal=principal).order_by("-created_at", "-pk")
    for name, column in (("state", "state"), ("kind", "kind"), ("tenant", "tenant__slug__icontains")):
        if filters[name]:
            found = found.filter(**{column: filters[name]})
    context = {
        "found": page_of(found.defer(*HEAVY_FIELDS), request.GET),
        "filters": filters,
        "filtered": any(filters.values()),
        "all_states": states.STATES,
        "kinds": states.KINDS,
        **saved_views_bar(principal, "operations", request.GET),
    }
    return show(
        request,
        principal,
        "portal/operations.html",
        context,
        section="operations",
        crumbs=((gettext("Operations"), ""),),
    )


@page(roles.OPERATIONS_READ)
def operation(request: HttpRequest, principal: Principal, operation_id: UUID) -> HttpResponse:
    found = operation_get(principal=principal, operation_id=operation_id)
    title = f"{kind_text(found.kind)} {found.tenant.slug}"
    return show(
        request,
        principal,
        "portal/operation.html",
        live_context(principal, found, cursor=0),
        section="operations",
        crumbs=((gettext("Operations"), reverse("portal:operations")), (title, "")),
    )


@page(roles.OPERATIONS_READ)
def operation_live(request: HttpRequest, principal: Principal, operation_id: UUID) -> HttpResponse:
    """The moving parts of the same page, and the log lines after `cursor`. Asked for when the stream rings."""
    found = operation_get(principal=principal, operation_id=operation_id)
    raw = request.GET.get("cursor", "0")
    cursor = int(raw) if raw.isdigit() and len(raw) < 19 else 0
    context = live_context(principal, found, cursor=cursor)
    frame = {
        "can": abilities(principal),
        "now": clock.now(),
        "form_key": str(uuid4()),
    }
    return render(request, "portal/_operation_live.html", {**context, **frame})


def live_context(principal: Principal, operation: Operation, *, cursor: int) -> dict[str, Any]:
    # Read before the events: what this says has ended has all its events by now.
    steps = list(operation.steps.all())
    timeline = timeline_of(events_after(operation_id=operation.id, cursor=0, limit=EVENTS_SHOWN))
    rows = timeline.rows
    running = next((step for step in steps if step.state == states.STEP_RUNNING), None)
    newest = (
        Operation.objects.filter(tenant_id=operation.tenant_id)
        .order_by("-created_at", "-id")
        .values_list("pk", flat=True)
        .first()
    )
    retryable = operation.state in (states.FAILED, states.CANCELED) and newest == operation.pk
    # What awaits approval is rejected instead: one way out is enough.
    cancelable = (
        operation.state in states.OPEN
        and operation.state != states.AWAITING_APPROVAL
        and operation.cancel_requested_at is None
    )
    now = clock.now()
    judged = assessment_representation(operation.assessment)
    # Beside a decision, and where the plan is the result.
    waits = operation.state == states.AWAITING_APPROVAL
    shows_plan = waits or operation.kind == states.PREVIEW
    return {
        "operation": operation,
        "tenant": operation.tenant,
        "steps": steps,
        "running_step": running,
        # A person's time is not estimated.
        "pace": None if waits else operation_pace(operation=operation, steps=steps, now=now),
        "planned": plan_table(operation.plan, judged["policy"]["findings"]) if shows_plan else [],
        "plan_moved": plan_moved(operation=operation, now=now),
        "resources": rows,
        "resources_done": sum(1 for row in rows if row.state == "done"),
        "lines": [line for line in timeline.lines if line.id > cursor],
        "cursor": timeline.cursor,
        "queueing": operation_queueing(operation=operation),
        "judgement": {"cost": cost_representation(operation.assessment), **judged},
        "another_decides": another_approves(operation=operation, actor=principal.actor),
        "is_open": operation.state in states.OPEN,
        "is_running": operation.state in states.RUNNING,
        "cancelable": cancelable,
        "retryable": retryable,
        "command": f"freehold operations {'watch' if operation.state in states.OPEN else 'logs'} {operation.id}",
        "run_command": run_command(operation.tenant.slug),
        "superseded_by": newest if newest != operation.pk else None,
    }


def plan_id_of(raw: str) -> UUID | None:
    """The plan that the page showed: approving binds to it, and not to one that came since."""
    try:
        return UUID(raw)
    except ValueError:
        return None


@page(roles.OPERATIONS_READ, methods=("POST",))
def operation_verb(request: HttpRequest, principal: Principal, operation_id: UUID, verb: str) -> HttpResponse:
    """`approve`, `reject`, `cancel`, `retry`: the same services as the API's verbs."""
    found = operation_get(principal=principal, operation_id=operation_id)
    approves = verb in ("approve", "reject")
    access_require(principal, roles.OPERATIONS_APPROVE if approves else roles.OPERATIONS_WRITE)
    here = reverse("portal:operation", args=[found.id])
    actor, now = principal.actor, clock.now()

    def work() -> str:
        match verb:
            case "approve":
                operation_approve(
                    operation=found, actor=actor, now=now, plan_id=plan_id_of(request.POST.get("plan_id", ""))
                )
            case "reject":
                reason = request.POST.get("reason", "")[:500]
                operation_reject(operation=found, actor=actor, reason=reason, now=now)
            case "cancel":
                operation_cancel(operation=found, actor=actor, now=now)
            case "retry":
                operation_retry(operation=found, actor=actor, now=now)
            case _:
                raise NotFound(gettext("An operation has no such verb."))
        return here

    return act(request, principal, back=here, work=work)
