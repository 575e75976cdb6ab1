"""One thing asked of several tenants: each gets its own transaction through the services that one tenant has.

A refusal is written beside its tenant and stops nobody else. Whoever dies in between leaves rows that wait, and the
same request, asked again, goes on with those alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from controlplane.accounts.access import Principal
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, FreeholdError, NotFound, ValidationFailed
from controlplane.operations import states as operation_states
from controlplane.tenants import states
from controlplane.tenants.acceptance import tenant_accepts
from controlplane.tenants.locks import bulk_outcome_lock
from controlplane.tenants.models import BulkOutcome, BulkRequest, Tenant
from controlplane.tenants.plan_changes import PlanChange, plan_changes_foresee, plan_known
from controlplane.tenants.releases import release_demand
from controlplane.tenants.selectors import tenant_etag, tenants_visible
from controlplane.tenants.services import tenant_operate, tenant_update
from controlplane.tenants.validation import tenant_check

MOST: Final = 100
#: Requests that are forgotten in one go, each with at most as many outcomes as may be asked of.
BATCH: Final = 50
LABEL: Final = "label"
PLAN: Final = "plan"
#: What may be asked of several at once. Deleting is not among them: it asks for each slug.
OPERATIONS: Final = ("suspend", "resume", "upgrade", "preview", "refresh")
VERBS: Final = (*OPERATIONS, PLAN, LABEL)


@dataclass(frozen=True)
class Foreseen:
    """What would happen to one tenant now; `reason` is set where nothing would, `change` where its plan would."""

    tenant: Tenant
    will: bool
    reason: str = ""
    change: PlanChange | None = None


def bulk_tenants(*, principal: Principal, tenant_ids: Sequence[UUID]) -> QuerySet[Tenant]:
    return tenants_visible(principal=principal).filter(pk__in=tenant_ids).order_by("name", "pk")


def bulk_get(*, principal: Principal, bulk_id: UUID) -> tuple[BulkRequest, list[BulkOutcome]]:
    """With the rows of tenants that the principal sees. Raises NotFound for a stranger, and for one who sees none."""
    seen = tenants_visible(principal=principal).values("pk")
    rows = BulkOutcome.objects.filter(bulk_id=bulk_id, bulk__team_id=principal.team_id, tenant_id__in=seen)
    found = list(rows.select_related("bulk", "tenant").order_by("position"))
    if not found:
        raise NotFound("There is no such request for several tenants.")
    return found[0].bulk, found


def bulk_check(*, verb: str, tenants: Sequence[Tenant], wanted: Mapping[str, str]) -> None:
    """Raises ValidationFailed for what cannot be asked of any of them."""
    if verb not in VERBS:
        raise ValidationFailed.of("verb", f"must be one of {', '.join(VERBS)}")
    if not 1 <= len(tenants) <= MOST:
        raise ValidationFailed.of("tenant", f"must be 1 to {MOST} tenants")
    if verb == PLAN:
        plan_known(wanted.get("plan", ""))
    if verb == LABEL:
        first = tenants[0]
        try:
            tenant_check(
                slug=first.slug,
                name=first.name,
                plan=first.plan,
                target=first.target,
                contact_email=first.contact_email,
                labels={wanted.get("key", ""): wanted.get("value", "")},
            )
        except ValidationFailed as error:
            if any(problem["pointer"].startswith("/labels/") for problem in error.errors):
                raise ValidationFailed.of(
                    "key", "must be a-z, 0-9 and . _ / - between, at most 63; a value at most 200 characters"
                ) from error


def bulk_foresee(*, verb: str, tenants: Sequence[Tenant], wanted: Mapping[str, str]) -> list[Foreseen]:
    """As things are now; each service decides again when it is asked."""
    changes = plan_changes_foresee(tenants=tenants, plan=wanted["plan"]) if verb == PLAN else {}
    return [_foresee(verb, tenant, wanted, changes.get(tenant.pk)) for tenant in tenants]


def _foresee(
    verb: str, tenant: Tenant, wanted: Mapping[str, str], change: PlanChange | str | None
) -> Foreseen:
    if isinstance(change, str):
        return Foreseen(tenant, False, change)
    if verb == LABEL:
        if _labels(tenant, wanted) == tenant.labels:
            return Foreseen(tenant, False, f"{tenant.slug} is labelled so already.")
        return Foreseen(tenant, True)
    try:
        if verb == PLAN:
            tenant_accepts(tenant, operation_states.UPDATE)
            release_demand(tenant)
        else:
            tenant_accepts(tenant, states.VERBS[verb])
    except Conflict as error:
        return Foreseen(tenant, False, f"{error.detail} {error.hint}".strip())
    return Foreseen(tenant, True, change=change)


@transaction.atomic
def bulk_begin(
    *,
    principal: Principal,
    key: str,
    verb: str,
    tenants: Sequence[Tenant],
    wanted: Mapping[str, str],
    now: datetime,
) -> BulkRequest:
    """Writes down what is asked of whom; nothing is asked yet. The same key finds the same request.

    Raises ValidationFailed, Conflict (`key_reused`) for a key of another request.
    """
    bulk_check(verb=verb, tenants=tenants, wanted=wanted)
    bulk, made = BulkRequest.objects.get_or_create(
        team_id=principal.team_id,
        actor=principal.actor,
        key=key,
        defaults={"verb": verb, "wanted": dict(wanted), "created_at": now},
    )
    if not made:
        same = set(bulk.outcomes.values_list("tenant_id", flat=True)) == {tenant.pk for tenant in tenants}
        if (bulk.verb, bulk.wanted) != (verb, dict(wanted)) or not same:
            raise Conflict(
                "This form was sent before with something else.",
                code="key_reused",
                hint="Choose the tenants again.",
            )
        return bulk
    BulkOutcome.objects.bulk_create(
        BulkOutcome(bulk=bulk, tenant=tenant, position=position) for position, tenant in enumerate(tenants)
    )
    audit_record(
        at=now,
        actor=principal.actor,
        action="tenants.bulk_requested",
        subject_type="bulk_request",
        subject_id=str(bulk.id),
        team_id=principal.team_id,
        data={"verb": verb, **_asked(verb, wanted), "tenants": len(tenants)},
    )
    return bulk


def bulk_run(*, principal: Principal, bulk: BulkRequest, now: datetime) -> None:
    """Asks it of each tenant that waits. Two at once share the rows: each tenant is asked once."""
    waiting = bulk.outcomes.filter(state=states.BULK_WAITING).order_by("position")
    seen = set(
        tenants_visible(principal=principal)
        .values_list("pk", flat=True)
        .filter(pk__in=waiting.values("tenant_id"))
    )
    for row in list(waiting):
        if row.tenant_id not in seen:  # of another limit: its row is not this person's to decide
            continue
        try:
            _ask(principal, bulk, row.pk, now)
        except FreeholdError as error:
            refused = BulkOutcome.objects.filter(pk=row.pk, state=states.BULK_WAITING)
            refused.update(state=states.BULK_REFUSED, detail=f"{error.detail} {error.hint}".strip()[:500])


@transaction.atomic
def _ask(principal: Principal, bulk: BulkRequest, row_id: int, now: datetime) -> None:
    row = bulk_outcome_lock(row_id)
    if row is None:
        return
    if bulk.verb == LABEL:
        # The version keeps a label that somebody else sets between this look and the change.
        tenant = row.tenant
        _, operation = tenant_update(
            principal=principal,
            tenant=tenant,
            changes={"labels": _labels(tenant, bulk.wanted)},
            etags=[tenant_etag(tenant)],
            now=now,
        )
        changed = _labels(tenant, bulk.wanted) != tenant.labels
        row.state = states.BULK_CHANGED if changed else states.BULK_UNCHANGED
    elif bulk.verb == PLAN:
        _, operation = tenant_update(
            principal=principal, tenant=row.tenant, changes={"plan": bulk.wanted["plan"]}, now=now
        )
        row.state = states.BULK_QUEUED if operation else states.BULK_UNCHANGED
    else:
        operation = tenant_operate(
            principal=principal, tenant=row.tenant, kind=states.VERBS[bulk.verb], now=now
        )
        row.state = states.BULK_QUEUED
    row.operation_id = operation.pk if operation else None
    row.save(update_fields=["state", "operation_id"])


def bulk_prune(*, now: datetime) -> int:
    """Forgets requests made longer ago than the retention of logs, with what became of each tenant; how many.

    The operations that they queued stay, and so does the audit row.
    """
    limit = now - timedelta(days=settings.FREEHOLD_LOG_RETENTION_DAYS)
    pruned = 0
    while found := list(
        BulkRequest.objects.filter(created_at__lt=limit).values_list("pk", flat=True)[:BATCH]
    ):
        BulkRequest.objects.filter(pk__in=found).delete()
        pruned += len(found)
    return pruned


def _asked(verb: str, wanted: Mapping[str, str]) -> dict[str, object]:
    """What the audit row says beside the verb."""
    if verb == LABEL:
        return {"label": dict(wanted)}
    return dict(wanted) if verb == PLAN else {}


def _labels(tenant: Tenant, wanted: Mapping[str, str]) -> dict[str, str]:
    rest = {key: value for key, value in tenant.labels.items() if key != wanted["key"]}
    return {**rest, wanted["key"]: wanted["value"]} if wanted["value"] else rest
