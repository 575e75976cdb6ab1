"""Reads of tenants. Access is decided here: a principal sees its team's tenants, or those it is limited to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Q, QuerySet, Subquery

from controlplane.accounts.access import Principal
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.encryption import decrypt
from controlplane.core.errors import NotFound
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation, Stack
from controlplane.operations.record import secret_context
from controlplane.operations.selectors import stack_of
from controlplane.tenants import states
from controlplane.tenants.debounce import Change, uptime
from controlplane.tenants.looks import COMPONENTS, explanation
from controlplane.tenants.models import ComponentHealth, HealthChange, Tenant
from controlplane.tenants.releases import release_of

#: The audit row of a runtime key that was given out.
CREDENTIALS_ISSUED = "tenant.credentials_issued"
#: The runtime's role of a key for which none was asked.
KEY_ROLE = "operator"
FILTERS = ("lifecycle", "health", "billing", "plan", "target")
SEARCH = (*FILTERS, "label", "q")


def tenants_visible(*, principal: Principal) -> QuerySet[Tenant]:
    visible = Tenant.objects.filter(team_id=principal.team_id)
    if principal.tenant_ids is not None:
        visible = visible.filter(pk__in=principal.tenant_ids)
    newest = (
        Operation.objects.filter(tenant_id=OuterRef("pk")).order_by("-created_at", "-id").values("pk")[:1]
    )
    return visible.select_related("stack").annotate(last_operation_id=Subquery(newest))


def tenants_search(*, principal: Principal, filters: dict[str, str]) -> QuerySet[Tenant]:
    """Filters: lifecycle, health, billing, plan, target; label (`key=value` or `key`); q (slug or name).
    Deprovisioned tenants show only when asked for by lifecycle."""
    found = tenants_visible(principal=principal)
    for name in FILTERS:
        if filters.get(name):
            found = found.filter(Q((name, filters[name])))
    if not filters.get("lifecycle"):
        found = found.exclude(lifecycle=states.DEPROVISIONED)
    if label := filters.get("label"):
        key, separator, value = label.partition("=")
        found = (
            found.filter(labels__contains={key: value}) if separator else found.filter(labels__has_key=key)
        )
    if text := filters.get("q", "").strip():
        found = found.filter(Q(slug__icontains=text) | Q(name__icontains=text))
    return found


def tenant_get(*, principal: Principal, slug: str) -> Tenant:
    """The living tenant of that slug, else the one deprovisioned last. NotFound for a stranger's too."""
    candidates = tenants_visible(principal=principal).filter(slug=slug)
    tenant = (
        candidates.exclude(lifecycle=states.DEPROVISIONED).first()
        or candidates.order_by("-created_at").first()
    )
    if tenant is None:
        raise NotFound(
            "There is no such tenant.", hint="Check the slug; GET /api/v1/tenants lists those you can see."
        )
    return tenant


def tenant_for_customer(*, team_id: UUID, tenant_id: UUID) -> Tenant:
    """The tenant whose own people ask: whoever calls has found out that they are. Raises NotFound."""
    found = Tenant.objects.filter(pk=tenant_id, team_id=team_id).first()
    if found is None:
        raise NotFound("There is nothing here any more.")
    return found


def tenant_keys_issued(*, tenant: Tenant) -> bool:
    """Whether anybody was ever given a runtime key of it; the runtime alone knows which are still valid."""
    about = AuditEvent.objects.filter(subject_type="tenant", subject_id=str(tenant.id))
    return about.filter(action=CREDENTIALS_ISSUED).exists()


@dataclass(frozen=True)
class GivenKey:
    """A runtime key as it was given out; the runtime alone knows whether it still counts."""

    name: str
    role: str
    actor: str
    at: datetime


def tenant_keys_given(*, tenant: Tenant, most: int) -> list[GivenKey]:
    """The newest first."""
    about = AuditEvent.objects.filter(subject_type="tenant", subject_id=str(tenant.id))
    events = about.filter(action=CREDENTIALS_ISSUED).order_by("-sequence")[:most]
    return [
        GivenKey(event.data.get("name", ""), event.data.get("role", KEY_ROLE), event.actor, event.at)
        for event in events
    ]


def tenant_etag(tenant: Tenant) -> str:
    """The version of a tenant, as ETag and If-Match carry it."""
    return f'"{int(tenant.updated_at.timestamp() * 1_000_000):x}"'


def tenant_representation(tenant: Tenant) -> dict[str, Any]:
    """The tenant of contract.md section 3."""
    stack: Stack | None = getattr(tenant, "stack", None)
    last = getattr(tenant, "last_operation_id", None)
    return {
        "id": str(tenant.id),
        "slug": tenant.slug,
        "name": tenant.name,
        "plan": tenant.plan,
        "target": tenant.target,
        "region": tenant.region,
        "contact_email": tenant.contact_email,
        "lifecycle": tenant.lifecycle,
        "health": tenant.health,
        "billing": tenant.billing,
        "labels": tenant.labels,
        "overrides": tenant.overrides,
        "deletion_protection": tenant.deletion_protection,
        "runtime_version": release_of(tenant),
        "runtime_url": tenant.runtime_url or None,
        "stack": {
            "name": stack.name if stack else f"organization/freehold/{tenant.slug}",
            "program_version": stack.program_version if stack else None,
            "state_version": stack.state_version if stack else 0,
            "last_operation": str(last) if last else None,
        },
        "created_at": moment_text(tenant.created_at),
        "updated_at": moment_text(tenant.updated_at),
    }


def tenant_outputs(*, tenant: Tenant) -> dict[str, Any]:
    """The stack's outputs; of secret ones only the names: {runtime_url, components, billable, secrets: [name]}."""
    stack = stack_of(tenant_id=tenant.id)
    if stack is None or not stack.outputs:
        return {"runtime_url": None, "components": [], "billable": [], "secrets": []}
    names: list[str] = []
    if stack.secret_outputs:
        names = sorted(decrypt(stack.secret_outputs, context=secret_context(tenant.id)))
    return {**stack.outputs, "secrets": names}


def tenant_health(*, tenant: Tenant, now: datetime) -> dict[str, Any]:
    """{health, explanation, components: [{name, health, since, checked_at, latency_ms, detail, uptime_30d,
    uptime_90d}], checks, checked_at, uptime_30d, uptime_90d, history: [{at, component, health, detail}]}, the newest
    change first; of a change, `component` null is the tenant as a whole.

    An uptime is a decimal share of the known time, null when nothing is known.
    """
    rows = list(HealthChange.objects.filter(tenant=tenant).order_by("at", "pk"))
    components = components_of(tenant=tenant)
    told = [(row.component, row.health, row.detail) for row in components]
    return {
        "health": tenant.health,
        "explanation": explanation(told),
        "components": [
            {
                "name": row.component,
                "health": row.health,
                "since": moment_text(row.since),
                "checked_at": moment_text_or_none(row.checked_at),
                "latency_ms": row.latency_ms,
                "detail": row.detail,
                **_uptimes(rows, row.component, now),
            }
            for row in components
        ],
        "checks": tenant.health_checks,
        "checked_at": moment_text_or_none(tenant.health_checked_at),
        **_uptimes(rows, "", now),
        "history": [
            {
                "at": moment_text(row.at),
                "component": row.component or None,
                "health": row.health,
                "detail": row.detail,
            }
            for row in reversed(rows[-200:])
        ],
    }


def components_of(*, tenant: Tenant) -> list[ComponentHealth]:
    """What is known of each component; what others rest on comes first."""
    rows = ComponentHealth.objects.filter(tenant=tenant)
    return sorted(rows, key=lambda row: COMPONENTS.index(row.component))


def _uptimes(rows: Sequence[HealthChange], component: str, now: datetime) -> dict[str, str | None]:
    changes = [Change(row.at, row.health) for row in rows if row.component == component]
    shares = {days: uptime(changes, start=now - timedelta(days=days), end=now) for days in (30, 90)}
    return {f"uptime_{days}d": None if share is None else f"{share:.5f}" for days, share in shares.items()}
