"""Changes to tenants. Each is one transaction: the row, the operation and the audit row, or nothing."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from django.db import IntegrityError, transaction

from contracts.labels import is_production
from controlplane.accounts.access import Principal, access_allows, access_require_team
from controlplane.accounts.models import ApiKey
from controlplane.accounts.roles import ADMIN
from controlplane.core.audit import audit_record
from controlplane.core.data_keys import data_keys_destroy
from controlplane.core.errors import Conflict, PermissionDenied, PreconditionFailed, RetryLater
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.operations.services import operation_cancel, operation_create
from controlplane.tenants import states
from controlplane.tenants.acceptance import protection_check, tenant_accepts
from controlplane.tenants.approval import approval_rule
from controlplane.tenants.locks import tenant_and_operations_lock
from controlplane.tenants.models import Tenant
from controlplane.tenants.overrides import overrides_check, place_keep
from controlplane.tenants.placement import placement_choose
from controlplane.tenants.plans import Plan, plans
from controlplane.tenants.pricing import agreement_begin, plan_currency_check
from controlplane.tenants.releases import release_check, release_demand, release_pin, release_shipped
from controlplane.tenants.rotation import credentials_make, credentials_renew, retiring_revoke
from controlplane.tenants.runtime_admin import runtime_admin_post
from controlplane.tenants.runtime_secrets import StorageKey
from controlplane.tenants.runtime_tokens import runtime_roles_granted
from controlplane.tenants.selectors import CREDENTIALS_ISSUED, KEY_ROLE, tenant_etag
from controlplane.tenants.snapshots.selectors import snapshot_get
from controlplane.tenants.snapshots.services import snapshot_hold, snapshot_storage_keys
from controlplane.tenants.stack_spec import stack_spec_of
from controlplane.tenants.targets import AWS, LOCAL, region_default, snapshots_demand
from controlplane.tenants.validation import tenant_check

#: What tenant_update may change.
CHANGEABLE = ("plan", "overrides", "runtime_version", "name", "labels", "deletion_protection")
#: Kinds that bring the runtime to the release the tenant is pinned to. An upgrade pins it to one that is known.
_RELEASE_DEMANDING = (
    operation_states.UPDATE,
    operation_states.RESUME,
    operation_states.ROTATE_CREDENTIALS,
)


def tenant_create(
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
    requires_approval: bool = False,
    restore_from: UUID | None = None,
    reason: str = "",
) -> tuple[Tenant, Operation]:
    """Requests a tenant and queues its provisioning; once it is active, the snapshot `restore_from` is restored.

    Raises NotFound for a snapshot of a tenant the principal does not see, ValidationFailed naming every wrong field,
    Conflict (`slug_taken`, `machine_full`, `network_pool_exhausted`, `snapshot_not_complete`,
    `not_supported_on_target`), PermissionDenied for a principal limited to some tenants: it could not see what it made.
    """
    access_require_team(principal)
    region = tenant_wanted_check(
        slug=slug,
        name=name,
        plan=plan,
        target=target,
        region=region,
        contact_email=contact_email,
        labels=labels or {},
        overrides=overrides or {},
    )
    try:
        with transaction.atomic():
            brought: Sequence[StorageKey] = ()
            if restore_from is not None:
                snapshots_demand(target, "A restore")
                snapshot = snapshot_get(principal=principal, snapshot_id=restore_from)
                snapshot_hold(snapshot)
                brought = snapshot_storage_keys(snapshot)
            tenant = Tenant(
                team_id=principal.team_id,
                restore_from=restore_from,
                slug=slug,
                name=name.strip(),
                plan=plan,
                target=target,
                region=region,
                contact_email=contact_email,
                labels=dict(labels or {}),
                overrides=dict(overrides or {}),
                deletion_protection=plans()[plan].deletion_protection,
                runtime_version=release_shipped(),
                created_at=now,
                updated_at=now,
            )
            placement_choose(tenant)
            credentials_make(tenant=tenant, actor=principal.actor, now=now, brought=brought)
            tenant.save(force_insert=True)
            agreement_begin(tenant, actor=principal.actor, now=now)
            operation = operation_create(
                tenant_id=tenant.id,
                team_id=tenant.team_id,
                kind=operation_states.PROVISION,
                spec=stack_spec_of(tenant, kind=operation_states.PROVISION),
                actor=principal.actor,
                reason=reason,
                requires_approval=requires_approval,
                now=now,
            )
            _audit(
                tenant,
                principal.actor,
                "tenant.requested",
                now,
                {
                    "slug": slug,
                    "plan": plan,
                    "target": target,
                    **({"restore_from": str(restore_from)} if restore_from else {}),
                },
            )
    except (
        IntegrityError
    ) as error:  # a concurrent request took the slug or the place between check and insert
        if "one_tenant_per_" in str(error):
            raise RetryLater(
                "Another tenant took the same place just now.", hint="Send the request again."
            ) from error
        raise _slug_taken(slug) from error
    return tenant, operation


def tenant_wanted_check(
    *,
    slug: str,
    name: str,
    plan: str,
    target: str,
    region: str | None,
    contact_email: str = "",
    labels: Mapping[str, str],
    overrides: Mapping[str, Any],
) -> str:
    """The region of a tenant that may be asked for; raises what `tenant_create` raises for one that may not."""
    tenant_check(
        slug=slug,
        name=name,
        plan=plan,
        target=target,
        contact_email=contact_email,
        labels=labels,
        region=region,
    )
    region = region or region_default(target)
    overrides_check(plan=plans()[plan], overrides=overrides, target=target, region=region)
    if Tenant.objects.filter(slug=slug).exclude(lifecycle=states.DEPROVISIONED).exists():
        raise _slug_taken(slug)
    return region


@transaction.atomic
def tenant_update(
    *,
    principal: Principal,
    tenant: Tenant,
    changes: Mapping[str, Any],
    now: datetime,
    etags: Collection[str] | None = None,
) -> tuple[Tenant, Operation | None]:
    """Changes a tenant; an operation is queued, and returned, where infrastructure must follow.

    What is not in `changes` stays as it is at that moment. `etags` are the versions the caller knows: raises
    PreconditionFailed when the tenant is at none of them. Changes that change nothing leave no trace.
    """
    current = Tenant.objects.select_for_update().get(pk=tenant.pk)
    if etags is not None and tenant_etag(current) not in etags:
        raise PreconditionFailed("The tenant changed since it was read.", hint="Read it again, then repeat.")
    wanted: dict[str, Any] = {name: changes.get(name, getattr(current, name)) for name in CHANGEABLE}
    wanted["name"] = str(wanted["name"]).strip()
    tenant_check(
        slug=current.slug,
        name=wanted["name"],
        plan=wanted["plan"],
        target=current.target,
        contact_email=current.contact_email,
        labels=wanted["labels"],
    )
    overrides_check(
        plan=plans()[wanted["plan"]],
        overrides=wanted["overrides"],
        target=current.target,
        region=current.region,
    )
    if wanted["plan"] != current.plan:
        plan_currency_check(current, plan=wanted["plan"])
    place_keep(before=current.overrides, after=wanted["overrides"], target=current.target)
    if "runtime_version" in changes:
        release_check(wanted["runtime_version"], pointer="/runtime_version")
    after = {name: value for name, value in wanted.items() if value != getattr(current, name)}
    if not after:
        return current, None
    before = {name: getattr(current, name) for name in after}
    moves_infrastructure = bool({"plan", "overrides", "runtime_version"} & set(after))
    if moves_infrastructure:
        tenant_accepts(current, operation_states.UPDATE)
    for name, value in after.items():
        setattr(current, name, value)
    # The version must move even if the clock did not, or went back while this waited for the row.
    current.updated_at = max(now, current.updated_at + timedelta(microseconds=1))
    current.save(update_fields=[*after, "updated_at"])
    _audit(current, principal.actor, "tenant.updated", now, {"before": before, "after": after})
    if not moves_infrastructure:
        return current, None
    return current, _operation(
        current, operation_states.UPDATE, principal, now, " and ".join(sorted(after)) + " changed", False
    )


def tenant_operate(
    *,
    principal: Principal,
    tenant: Tenant,
    kind: str,
    now: datetime,
    reason: str = "",
    requires_approval: bool = False,
    version: str | None = None,
) -> Operation:
    """Queues an operation on the stack. An upgrade moves to `version`, or to the release that is shipped.

    Raises Conflict when the lifecycle does not allow it now, or the tenant's release is not installed any more;
    ValidationFailed for a version that is not known.
    """
    with transaction.atomic():
        current = Tenant.objects.select_for_update().get(pk=tenant.pk)
        tenant_accepts(current, kind)
        if kind == operation_states.ROTATE_CREDENTIALS:
            credentials_renew(tenant=current, actor=principal.actor, now=now)
        elif kind == operation_states.UPGRADE:
            release_pin(tenant=current, release=version, actor=principal.actor, now=now)
        return _operation(current, kind, principal, now, reason, requires_approval)


@transaction.atomic
def tenant_delete(
    *,
    principal: Principal,
    tenant: Tenant,
    now: datetime,
    reason: str = "",
    skip_final_snapshot: bool = False,
) -> Operation:
    """Cancels what still waits and queues the deprovisioning. Raises Conflict while protected, while a
    deprovisioning is under way, or while what runs does not allow it; then nothing is canceled either.

    A production tenant's waits, once planned, for a person other than the one who asks. Raises PermissionDenied
    (`final_snapshot_required`) for a skip that the plan does not allow; Conflict (`not_supported_on_target`) where no
    final snapshot can be had and nobody said that it is to be skipped.
    """
    open_ones = Operation.objects.filter(tenant_id=tenant.pk, state__in=operation_states.OPEN)
    current = tenant_and_operations_lock(tenant.pk)
    protection_check(current)
    if skip_final_snapshot:
        _skip_check(principal, plans()[current.plan])
    else:
        _final_snapshot_check(current)
    if open_ones.filter(kind=operation_states.DEPROVISION).exists():
        raise Conflict(f"{current.slug} is being deleted already.", code="already_deleting")
    # What waits would otherwise run against a tenant that is going away; and a canceled provision frees its
    # tenant for deletion, so the lifecycle is looked at afterwards.
    waiting = (operation_states.QUEUED, operation_states.AWAITING_APPROVAL)
    for operation in open_ones.filter(state__in=waiting):
        operation_cancel(operation=operation, actor=principal.actor, now=now)
    current.refresh_from_db()
    tenant_accepts(current, operation_states.DEPROVISION)
    return operation_create(
        tenant_id=current.id,
        team_id=current.team_id,
        kind=operation_states.DEPROVISION,
        spec=stack_spec_of(current, kind=operation_states.DEPROVISION),
        actor=principal.actor,
        reason=reason,
        approval_rule=approval_rule(
            plan=plans()[current.plan], kind=operation_states.DEPROVISION, labels=current.labels
        ),
        second_person=deletion_needs_second(current),
        arguments={"skip_final_snapshot": True} if skip_final_snapshot else {},
        now=now,
    )


def deletion_needs_second(tenant: Tenant) -> bool:
    """Whether a second person must agree: for a tenant of production, or on a plan that protects its tenants."""
    return is_production(tenant.labels) or plans()[tenant.plan].deletion_protection


def _final_snapshot_check(tenant: Tenant) -> None:
    """In AWS, RDS takes the final snapshot; on this machine we do. Elsewhere the data would go without a copy."""
    wanted = plans()[tenant.plan].final_snapshot and tenant.activated_at is not None
    if wanted and tenant.target not in (LOCAL, AWS):
        raise Conflict(
            f"The plan {tenant.plan} wants a final snapshot, and the target {tenant.target} can take none.",
            code="not_supported_on_target",
            hint="Copy what is to be kept, then delete it with skip_final_snapshot.",
        )


def _skip_check(principal: Principal, plan: Plan) -> None:
    if plan.final_snapshot and not plan.final_snapshot_optional and not access_allows(principal, ADMIN):
        raise PermissionDenied(
            f"The plan {plan.key} wants a final snapshot of every tenant that is deleted.",
            code="final_snapshot_required",
            hint="Delete it without skip_final_snapshot, or ask an administrator.",
        )


def tenant_credentials_issue(
    *, principal: Principal, tenant: Tenant, name: str, now: datetime, role: str = KEY_ROLE
) -> dict[str, str]:
    """A fresh runtime key in one of the runtime's roles, shown once: {runtime_url, api_key, role}. Raises
    PermissionDenied for a role beyond the principal's own, Conflict unless active, RetryLater when the runtime does
    not answer."""
    granted = runtime_roles_granted(principal)
    if role not in granted:
        raise PermissionDenied(
            f"A key with the role {role} is beyond yours.", hint=f"You may ask for {', '.join(granted)}."
        )
    if tenant.lifecycle != states.ACTIVE:
        raise Conflict(
            f"{tenant.slug} is {tenant.lifecycle}, not active.",
            code="tenant_not_active",
            hint=f"Resume it first: freehold tenants resume {tenant.slug}."
            if tenant.lifecycle == states.SUSPENDED
            else "",
        )
    try:
        key = str(
            runtime_admin_post(tenant=tenant, path="keys", body={"name": name, "role": role})["api_key"]
        )
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise RetryLater(
            f"The runtime of {tenant.slug} did not issue a key ({type(error).__name__}).",
            code="runtime_unavailable",
            hint=f"See GET /api/v1/tenants/{tenant.slug}/health, then try again.",
        ) from error
    with transaction.atomic():
        _audit(tenant, principal.actor, CREDENTIALS_ISSUED, now, {"name": name, "role": role})
    return {"runtime_url": tenant.runtime_url, "api_key": key, "role": role}


@transaction.atomic
def tenant_credentials_forget(*, tenant: Tenant, actor: str, now: datetime) -> None:
    """After deprovisioning: the usage token dies, and the sealed secrets go with the key that could open any copy."""
    if tenant.usage_key_id is not None:
        ApiKey.objects.filter(pk=tenant.usage_key_id, revoked_at__isnull=True).update(revoked_at=now)
    retiring_revoke(tenant=tenant, now=now)
    Tenant.objects.filter(pk=tenant.pk).update(sealed_secrets="")
    data_keys_destroy(owner=tenant.pk, actor=actor, now=now)
    _audit(tenant, actor, "tenant.deprovisioned", now, {"slug": tenant.slug})


def _operation(
    tenant: Tenant, kind: str, principal: Principal, now: datetime, reason: str, requires_approval: bool
) -> Operation:
    if kind in _RELEASE_DEMANDING:
        release_demand(tenant)
    return operation_create(
        tenant_id=tenant.id,
        team_id=tenant.team_id,
        kind=kind,
        spec=stack_spec_of(tenant, kind=kind),
        actor=principal.actor,
        reason=reason,
        requires_approval=requires_approval,
        approval_rule=approval_rule(plan=plans()[tenant.plan], kind=kind, labels=tenant.labels),
        approval_cost_increase=plans()[tenant.plan].approval_cost_increase,
        now=now,
    )


def _slug_taken(slug: str) -> Conflict:
    detail = "is taken by another tenant"
    return Conflict(
        f"slug: {slug} {detail}.",
        code="slug_taken",
        hint="Choose another slug; it names the stack and cannot be shared.",
        errors=[{"pointer": "/slug", "detail": detail}],
    )


def _audit(tenant: Tenant, actor: str, action: str, now: datetime, data: Mapping[str, Any]) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=action,
        subject_type="tenant",
        subject_id=str(tenant.id),
        team_id=tenant.team_id,
        data=data,
    )
