"""Shows the secrets with which a tenant's runtime signs its webhooks, to whoever sets up their receivers."""

from datetime import datetime
from typing import Any

from django.db import transaction

from controlplane.accounts.access import Principal, access_require
from controlplane.accounts.roles import TENANTS_WRITE
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict
from controlplane.tenants.models import Tenant
from controlplane.tenants.rotation import credentials_read
from controlplane.tenants.runtime_secrets import WEBHOOK


def webhook_secrets_show(*, principal: Principal, tenant: Tenant, now: datetime) -> dict[str, Any]:
    """{secrets}, newest first: each message carries one signature of each. Raises Conflict for a tenant that has none:
    one of an earlier release, until its credentials are renewed, or one that is gone."""
    access_require(principal, TENANTS_WRITE)
    secrets = credentials_read(tenant).get(WEBHOOK, []) if tenant.sealed_secrets else []
    if not secrets:
        raise Conflict(
            f"{tenant.slug} has no secret to sign webhooks with.",
            code="webhook_secret_missing",
            hint=f"Renew its credentials: freehold tenants rotate-credentials {tenant.slug}.",
        )
    with transaction.atomic():
        audit_record(
            at=now,
            actor=principal.actor,
            action="tenant.webhook_secret_shown",
            subject_type="tenant",
            subject_id=str(tenant.id),
            team_id=tenant.team_id,
            data={},
        )
    return {"secrets": secrets}
