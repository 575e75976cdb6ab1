"""A tenant's own credentials: made, renewed without a gap, and ended when nothing uses them any more.

Renewing seals new ones and raises the generation; the old ones stay good until an operation has brought that
generation to the stack. Doing so again, or after a kill, goes on with the same credentials.
"""

import secrets as token_source
from datetime import datetime
from typing import Any

from controlplane.accounts.models import ApiKey
from controlplane.accounts.roles import USAGE_WRITE
from controlplane.accounts.services import api_key_create
from controlplane.core.audit import audit_record
from controlplane.core.encryption import decrypt, encrypt
from controlplane.tenants.models import Tenant

#: Admin keys of the runtime that an older process of it may still want.
EARLIER = "earlier_admin_keys"


def secrets_context(tenant_id: object) -> str:
    return f"tenant-secrets:{tenant_id}"


def credentials_read(tenant: Tenant) -> dict[str, Any]:
    """{usage_token, runtime_admin_key, password_seed}, and while renewing the earlier admin keys, newest first."""
    return dict(decrypt(tenant.sealed_secrets, context=secrets_context(tenant.id)))


def credentials_make(*, tenant: Tenant, actor: str, now: datetime) -> None:
    """Sets a fresh usage token and admin key on the tenant; the caller saves it, in the same transaction.

    The seed of passwords stays the same for the tenant's life: what programs derive from it differs by generation.
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
    }
    if tenant.sealed_secrets:
        old = credentials_read(tenant)
        # A tenant of an earlier release has none; the first rotation gives it one.
        sealed["password_seed"] = old.get("password_seed", sealed["password_seed"])
        sealed[EARLIER] = [old["runtime_admin_key"], *old.get(EARLIER, [])]
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
    _seal(tenant, sealed)
    tenant.retiring_usage_key_ids = []
    tenant.save(update_fields=["retiring_usage_key_ids", "sealed_secrets"])
    _audit(tenant, actor, "tenant.credentials_retired", now)


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
