"""A tenant's own credentials: made, renewed without a gap, and ended when nothing uses them any more.

Renewing seals new ones and raises the generation; the old ones stay good until an operation has brought that
generation to the stack. Doing so again, or after a kill, goes on with the same credentials.
"""

import secrets as token_source
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from controlplane.accounts.models import ApiKey
from controlplane.accounts.roles import USAGE_WRITE
from controlplane.accounts.services import api_key_create
from controlplane.core.audit import audit_record
from controlplane.core.encryption import decrypt, encrypt
from controlplane.core.errors import Conflict
from controlplane.tenants import token_keys
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_secrets import StorageKey, runtime_secrets_make

#: Admin keys of the runtime that an older process of it may still want.
EARLIER = "earlier_admin_keys"


def secrets_context(tenant_id: object) -> str:
    return f"tenant-secrets:{tenant_id}"


def credentials_read(tenant: Tenant) -> dict[str, Any]:
    """{usage_token, runtime_admin_key, password_seed, token_key, storage_keys, webhook_secrets}, and while renewing the
    earlier admin keys and token keys, newest first."""
    return dict(decrypt(tenant.sealed_secrets, context=secrets_context(tenant.id)))


def credentials_make(
    *, tenant: Tenant, actor: str, now: datetime, brought: Sequence[StorageKey] = ()
) -> None:
    """Sets a fresh usage token and admin key on the tenant; the caller saves it, in the same transaction.

    The seed of passwords stays the same for the tenant's life: what programs derive from it differs by generation.
    `brought` are the keys of the data that a new tenant begins with.
    """
    key, token = api_key_create(
        team_id=tenant.team_id,
        name=f"usage of {tenant.slug}",
        scopes=[USAGE_WRITE],
        tenant_ids=[tenant.id],
        actor=actor,
        now=now,
    )
    tenant.usage_key_id = key.id
    sealed: dict[str, Any] = {
        "usage_token": token,
        "runtime_admin_key": f"fhr_{token_source.token_urlsafe(32)}",
        "password_seed": token_source.token_urlsafe(48),
        token_keys.CURRENT: token_keys.token_key_make(),
    }
    old = credentials_read(tenant) if tenant.sealed_secrets else {}
    sealed |= runtime_secrets_make(old, brought=brought)
    if old:
        # A tenant of an earlier release has none; the first rotation gives it one.
        sealed["password_seed"] = old.get("password_seed", sealed["password_seed"])
        sealed[EARLIER] = [old["runtime_admin_key"], *old.get(EARLIER, [])]
        sealed[token_keys.BEFORE] = token_keys.keys_before(old, now=now)
    _seal(tenant, sealed)


def credentials_renew(*, tenant: Tenant, actor: str, now: datetime) -> None:
    """Credentials of the next generation, beside those in use. The tenant's row must be locked."""
    tenant.retiring_usage_key_ids = [*tenant.retiring_usage_key_ids, str(tenant.usage_key_id)]
    credentials_make(tenant=tenant, actor=actor, now=now)
    tenant.credentials += 1
    tenant.save(update_fields=["retiring_usage_key_ids", "usage_key_id", "sealed_secrets", "credentials"])
    _audit(tenant, actor, "tenant.credentials_renewed", now)


def credentials_settle(*, tenant: Tenant, generation: int, actor: str, now: datetime) -> None:
    """The stack uses `generation` alone: what the control plane kept of earlier ones ends. Idempotent."""
    if generation != tenant.credentials or not tenant.retiring_usage_key_ids:
        return
    retiring_revoke(tenant=tenant, now=now)
    sealed = credentials_read(tenant)
    sealed.pop(EARLIER, None)
    sealed[token_keys.BEFORE] = token_keys.keys_settled(sealed.get(token_keys.BEFORE, []))
    _seal(tenant, sealed)
    tenant.retiring_usage_key_ids = []
    tenant.save(update_fields=["retiring_usage_key_ids", "sealed_secrets"])
    _audit(tenant, actor, "tenant.credentials_retired", now)


def runtime_key_ids(*, team_id: UUID, among: Iterable[UUID] | None = None) -> frozenset[UUID]:
    """The API keys that tenants' runtimes send usage with. A person who ends or replaces one cuts the runtime off."""
    tenants = Tenant.objects.filter(team_id=team_id)
    if among is not None:
        wanted = list(among)
        retiring = Q(retiring_usage_key_ids__has_any_keys=[str(pk) for pk in wanted])
        tenants = tenants.filter(Q(usage_key_id__in=wanted) | retiring)
    rows = tenants.values_list("usage_key_id", "retiring_usage_key_ids")
    return frozenset(UUID(str(pk)) for current, retiring_ids in rows for pk in (current, *retiring_ids) if pk)


def runtime_key_refuse(*, team_id: UUID, api_key_id: UUID) -> None:
    """Raises Conflict (`key_of_a_runtime`) for one of those."""
    if api_key_id in runtime_key_ids(team_id=team_id, among=[api_key_id]):
        raise Conflict(
            "A tenant's runtime sends its usage with this key.",
            code="key_of_a_runtime",
            hint="Rotate the tenant's credentials: `freehold tenants rotate-credentials SLUG` brings it the new one.",
        )


def retiring_revoke(*, tenant: Tenant, now: datetime) -> None:
    keys = ApiKey.objects.filter(pk__in=tenant.retiring_usage_key_ids, revoked_at__isnull=True)
    keys.update(revoked_at=now)


def _seal(tenant: Tenant, sealed: dict[str, Any]) -> None:
    tenant.sealed_secrets = encrypt(sealed, context=secrets_context(tenant.id), owner=tenant.id)


def _audit(tenant: Tenant, actor: str, action: str, now: datetime) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=action,
        subject_type="tenant",
        subject_id=str(tenant.id),
        team_id=tenant.team_id,
        data={"generation": tenant.credentials},
    )
