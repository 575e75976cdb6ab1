"""A tenant that is being thought about: what its stack would be and cost, before anything of it exists.

Kept in the cache for some minutes and nowhere else: losing one costs a click.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, cast
from uuid import UUID

from celery import current_app
from django.core.cache import cache
from django.db import transaction

from contracts.base import Contract
from contracts.plan_document import assessment_representation, cost_representation, resources_representation
from contracts.stack import StackSpec
from controlplane.accounts.access import Principal, access_require_team
from controlplane.core.clock import moment_text
from controlplane.core.errors import FreeholdError, NotFound, RetryLater
from controlplane.core.ids import uuid7
from controlplane.operations import states as operation_states
from controlplane.operations.dry_run import DryRun, dry_run_plan
from controlplane.tenants.models import Tenant
from controlplane.tenants.placement import placement_choose
from controlplane.tenants.releases import release_shipped
from controlplane.tenants.services import tenant_wanted_check
from controlplane.tenants.stack_spec import stack_spec_of

KEPT_S: Final = 900
#: Sent by name, since services may not import tasks.
PLAN_TASK: Final = "controlplane.tenants.tasks.draft_plan_task"

#: What a summary of a plan counts.
SUMMED: Final = ("create", "update", "replace", "delete", "same")

DraftState = Literal["waiting", "planned", "failed"]


class DraftPlan(Contract):
    """`asked` is what was filled in, for who asked; `result` once planned; `problem` is {detail, hint} once failed."""

    team_id: UUID
    asked: dict[str, str]
    asked_at: datetime
    spec: StackSpec
    state: DraftState = "waiting"
    result: DryRun | None = None
    problem: dict[str, str] | None = None


def draft_plan_request(
    *,
    principal: Principal,
    slug: str,
    name: str,
    plan: str,
    target: str,
    now: datetime,
    region: str | None = None,
    contact_email: str = "",
    labels: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    asked: Mapping[str, str] | None = None,
) -> UUID:
    """Has the stack of such a tenant planned by a worker; `asked` is kept with it as it is.

    Raises what `tenant_create` raises, and RetryLater while the cache is away.
    """
    access_require_team(principal)
    region = tenant_wanted_check(
        slug=slug, name=name, plan=plan, target=target, region=region, contact_email=contact_email,
        labels=labels or {}, overrides=overrides or {},
    )  # fmt: skip
    tenant = Tenant(
        team_id=principal.team_id, slug=slug, name=name.strip(), plan=plan, target=target, region=region,
        labels=dict(labels or {}), overrides=dict(overrides or {}), runtime_version=release_shipped(),
        created_at=now, updated_at=now,
    )  # fmt: skip
    with transaction.atomic():
        # Chosen as if, and given back with the end of the transaction: nothing is stored.
        placement_choose(tenant)
        spec = stack_spec_of(tenant, kind=operation_states.PROVISION)
    draft_id = uuid7()
    _keep(draft_id, DraftPlan(team_id=principal.team_id, asked=dict(asked or {}), asked_at=now, spec=spec))
    try:
        current_app.send_task(PLAN_TASK, [str(draft_id)], retry=False, expires=KEPT_S)
    except Exception as error:
        raise _away() from error
    return draft_id


def draft_plan_get(*, principal: Principal, draft_id: UUID) -> DraftPlan:
    """Raises NotFound for another team's and for one that is kept no longer alike."""
    found = _find(draft_id)
    if found is None or found.team_id != principal.team_id:
        raise NotFound("There is no such draft any more.", hint="Ask for its plan again.")
    return found


def draft_plan_compute(*, draft_id: UUID) -> DraftState | None:
    """What a worker does; None for one that is kept no longer or was planned already."""
    found = _find(draft_id)
    if found is None or found.state != "waiting":
        return None
    try:
        changes: dict[str, Any] = {"state": "planned", "result": dry_run_plan(spec=found.spec)}
    except FreeholdError as error:
        changes = {"state": "failed", "problem": {"detail": error.detail, "hint": error.hint}}
    ended = found.model_copy(update=changes)
    _keep(draft_id, ended)
    return ended.state


def draft_representation(draft: DraftPlan, *, draft_id: UUID) -> dict[str, Any]:
    """The preview as programs read it; its plan as that of an operation."""
    return {
        "id": str(draft_id),
        "state": draft.state,
        "slug": draft.spec.slug,
        "tenant_plan": draft.spec.plan,
        "target": draft.spec.target,
        "region": draft.spec.region or None,
        "asked_at": moment_text(draft.asked_at),
        "plan": None if draft.result is None else _plan(draft.result),
        "error": draft.problem,
    }


def _plan(result: DryRun) -> dict[str, Any]:
    assessment = result.assessment.model_dump(mode="json")
    return {
        "summary": {op: sum(row["op"] == op for row in result.plan) for op in SUMMED},
        "resources": resources_representation(result.plan),
        "cost": cost_representation(assessment),
        **assessment_representation(assessment),
    }


def _key(draft_id: UUID) -> str:
    return f"draft-plan:{draft_id}"


def _keep(draft_id: UUID, draft: DraftPlan) -> None:
    try:
        cache.set(_key(draft_id), draft.model_dump_json(), timeout=KEPT_S)
    except Exception as error:
        raise _away() from error


def _find(draft_id: UUID) -> DraftPlan | None:
    try:
        raw = cache.get(_key(draft_id))
    except Exception as error:
        raise _away() from error
    return None if raw is None else DraftPlan.model_validate_json(cast(str, raw))


def _away() -> FreeholdError:
    return RetryLater("Drafts cannot be kept just now: Redis does not answer.", hint="Try again in a moment.")
