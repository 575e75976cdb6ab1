"""Changes to what is known of tenants' health. A component's shown health is debounced, and the tenant's follows."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from controlplane.core.encryption import decrypt
from controlplane.core.errors import OperatorError
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation, Stack
from controlplane.operations.record import secret_context
from controlplane.tenants import states
from controlplane.tenants.debounce import Health, health_next
from controlplane.tenants.looks import BAD, RUNTIME, Look, explanation, health_of
from controlplane.tenants.models import ComponentHealth, HealthChange, Tenant
from controlplane.tenants.probing import Endpoints
from controlplane.tenants.targets import LOCAL

log = structlog.get_logger()

HISTORY_DAYS = 90
UNWATCHED = (states.SUSPENDED, states.FAILED, states.DEPROVISIONING, states.DEPROVISIONED)
#: Two sweeps at once, on two workers, must not count as two looks in a row.
MIN_GAP = timedelta(seconds=10)


def endpoints_of(tenant: Tenant, stack: Stack | None, *, suspect: bool = False) -> Endpoints:
    """Where the tenant's components answer, as its stack's outputs say."""
    secrets: dict[str, Any] = {}
    sealed, private = False, tenant.target != LOCAL
    if stack is not None and stack.secret_outputs and not private:
        try:
            secrets = decrypt(stack.secret_outputs, context=secret_context(tenant.pk))
        except OperatorError as error:
            log.warning("tenant.health_without_secrets", tenant=tenant.slug, code=error.code)
            sealed = True
    billable = (stack.outputs or {}).get("billable", []) if stack is not None else []
    return Endpoints(
        tenant_id=tenant.pk,
        runtime_url=tenant.runtime_url,
        postgres_url=str(secrets.get("postgres_url", "")),
        redis_url=str(secrets.get("redis_url", "")),
        vector_url=str(secrets.get("vector_url", "")),
        gpus=tuple(str(each["resource"]) for each in billable if each["meter"] == "gpu_hours"),
        sealed=sealed,
        suspect=suspect,
        private=private,
    )


def endpoints_watched() -> list[Endpoints]:
    """Every tenant that should answer now: the active ones with a runtime."""
    tenants = Tenant.objects.filter(lifecycle=states.ACTIVE).exclude(runtime_url="").select_related("stack")
    return [
        endpoints_of(tenant, getattr(tenant, "stack", None), suspect=tenant.health in BAD)
        for tenant in tenants
    ]


@transaction.atomic
def looks_note(*, tenant_id: UUID, looks: Sequence[Look], now: datetime) -> bool:
    """Takes one look at each component of an active tenant into account; True when what is shown of the tenant
    changed. While an operation changes the stack, a bad look counts as `unknown`."""
    tenant = Tenant.objects.select_for_update().filter(pk=tenant_id, lifecycle=states.ACTIVE).first()
    known = {row.component: row for row in ComponentHealth.objects.filter(tenant_id=tenant_id)}
    if tenant is None or any(
        row.checked_at is not None and now - row.checked_at < MIN_GAP for row in known.values()
    ):
        return False
    if _being_changed(tenant_id):
        looks = [_excused(look) for look in looks]
    shown = {look.component: _shown_after(known.get(look.component), look) for look in looks}
    return _store(tenant, known, looks, shown, now)


@transaction.atomic
def looks_settle(*, tenant_id: UUID, looks: Sequence[Look], now: datetime) -> None:
    """Shows at once what was seen, without debounce: an operation has just brought the stack to what it is."""
    tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
    known = {row.component: row for row in ComponentHealth.objects.filter(tenant_id=tenant_id)}
    shown = {look.component: Health(look.health, look.health, 1) for look in looks}
    _store(tenant, known, looks, shown, now)


def health_unwatched_settle(*, now: datetime) -> int:
    """Of tenants that nobody looks at (suspended, failed, going, gone) nothing is known: their health and their
    components' becomes `unknown`, so that no time of theirs counts as failure. How many tenants."""
    stale = ComponentHealth.objects.filter(tenant_id=OuterRef("pk")).exclude(health=states.UNKNOWN)
    tenants = Tenant.objects.filter(Exists(stale) | ~Q(health=states.UNKNOWN), lifecycle__in=UNWATCHED)
    return sum(health_forget(tenant_id=tenant.pk, now=now) for tenant in tenants[:200])


@transaction.atomic
def health_forget(*, tenant_id: UUID, now: datetime) -> int:
    """One tenant's part of it; 0 for a tenant that is watched."""
    tenant = Tenant.objects.select_for_update().filter(pk=tenant_id, lifecycle__in=UNWATCHED).first()
    if tenant is None:
        return 0
    detail = f"the tenant is {tenant.lifecycle}"
    rows = ComponentHealth.objects.filter(tenant_id=tenant_id).exclude(health=states.UNKNOWN)
    changes = [_change(tenant_id, row.component, states.UNKNOWN, detail, now) for row in rows]
    HealthChange.objects.bulk_create([*changes, _change(tenant_id, "", states.UNKNOWN, detail, now)])
    rows.update(
        health=states.UNKNOWN, seen=states.UNKNOWN, streak=0, since=now, detail=detail, latency_ms=None
    )
    Tenant.objects.filter(pk=tenant_id).update(health=states.UNKNOWN, health_checks=[])
    return 1


def health_changes_prune(*, now: datetime) -> int:
    """Forgets changes older than 90 days, but keeps the last one before of each tenant and component: it says what
    held then."""
    limit = now - timedelta(days=HISTORY_DAYS)
    newer = HealthChange.objects.filter(
        tenant_id=OuterRef("tenant_id"), component=OuterRef("component"), at__gt=OuterRef("at"), at__lte=limit
    )
    return HealthChange.objects.filter(Exists(newer), at__lte=limit).delete()[0]


def _being_changed(tenant_id: UUID) -> bool:
    return Operation.objects.filter(tenant_id=tenant_id, state=operation_states.APPLYING).exists()


def _excused(look: Look) -> Look:
    if look.health not in BAD:
        return look
    return Look(look.component, states.UNKNOWN, f"being changed by an operation; {look.detail}")


def _shown_after(row: ComponentHealth | None, look: Look) -> Health:
    before = Health(row.health, row.seen, row.streak) if row else Health(states.UNKNOWN, states.UNKNOWN, 0)
    after = health_next(before, probe=look.health)
    return Health(after.shown, after.seen, min(after.streak, 1000))


def _store(
    tenant: Tenant,
    known: Mapping[str, ComponentHealth],
    looks: Sequence[Look],
    shown: Mapping[str, Health],
    now: datetime,
) -> bool:
    rows, changes = [], []
    for look in looks:
        after, before = shown[look.component], known.get(look.component)
        changed = before is None or before.health != after.shown
        row = before or ComponentHealth(tenant=tenant, component=look.component, since=now)
        row.health, row.seen, row.streak = after.shown, after.seen, after.streak
        row.checked_at, row.latency_ms, row.detail = now, look.latency_ms, look.detail[:300]
        if changed:
            row.since = now
            changes.append(_change(tenant.pk, look.component, after.shown, look.detail, now))
        rows.append(row)
    ComponentHealth.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["tenant", "component"],
        update_fields=["health", "seen", "streak", "since", "checked_at", "latency_ms", "detail"],
    )
    # A component that the stack no longer has.
    ComponentHealth.objects.filter(tenant=tenant).exclude(component__in=shown).delete()
    return _tenant_follows(tenant, rows, changes, now)


def _tenant_follows(
    tenant: Tenant, rows: Sequence[ComponentHealth], changes: list[HealthChange], now: datetime
) -> bool:
    health = health_of({row.component: row.health for row in rows})
    words = explanation([(row.component, row.health, row.detail) for row in rows])
    last = HealthChange.objects.filter(tenant=tenant, component="").order_by("-at", "-pk").first()
    changed = tenant.health != health
    if changed or last is None or last.health != health:
        changes.append(_change(tenant.pk, "", health, words, now))
    HealthChange.objects.bulk_create(changes)
    checks = [
        {"name": row.component, "ok": row.health not in BAD, "detail": row.detail}
        for row in rows
        if row.health != states.UNKNOWN or row.component == RUNTIME
    ]
    Tenant.objects.filter(pk=tenant.pk).update(health=health, health_checks=checks, health_checked_at=now)
    if changed:
        # Only what is known to be bad is worth a warning.
        tell = log.warning if health in BAD else log.info
        tell("tenant.health_changed", tenant=tenant.slug, health=health, was=tenant.health, why=words)
    return changed


def _change(tenant_id: UUID, component: str, health: str, detail: str, at: datetime) -> HealthChange:
    return HealthChange(tenant_id=tenant_id, component=component, at=at, health=health, detail=detail[:300])
