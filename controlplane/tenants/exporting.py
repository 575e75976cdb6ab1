"""A tenant's stack for a preview elsewhere, such as in CI: its specification, and its state without any secret."""

from datetime import datetime
from uuid import UUID

from django.db import transaction

from contracts.export import StackExport
from controlplane.accounts.access import Principal
from controlplane.core.audit import audit_record
from controlplane.core.encryption import decrypt
from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.operations.exporting import state_export
from controlplane.operations.record import secret_context
from controlplane.operations.selectors import stack_of
from controlplane.tenants import states
from controlplane.tenants.lifecycle import stack_secrets_of
from controlplane.tenants.models import Tenant
from controlplane.tenants.stack_spec import stack_spec_of

_WITHOUT = (states.DEPROVISIONING, states.DEPROVISIONED)


def stack_export(*, principal: Principal, tenant: Tenant, now: datetime) -> StackExport:
    """What a preview would plan from now, and an audit row of who took it. Conflict for a tenant whose stack goes or
    is gone."""
    if tenant.lifecycle in _WITHOUT:
        raise Conflict(f"{tenant.slug} is {tenant.lifecycle}: it has no stack to plan.", code="no_stack")
    secrets = stack_secrets_of(tenant).model_dump()
    spec = stack_spec_of(tenant, kind=operation_states.PREVIEW)
    export = StackExport(
        spec=spec,
        secrets=sorted(name for name, value in secrets.items() if value is not None),
        deployment=state_export(spec=spec, known=[*secrets.values(), *_outputs(tenant.id)]),
    )
    with transaction.atomic():
        audit_record(
            at=now,
            actor=principal.actor,
            action="tenant.stack_exported",
            subject_type="tenant",
            subject_id=str(tenant.id),
            team_id=tenant.team_id,
        )
    return export


def _outputs(tenant_id: UUID) -> list[str]:
    """The stack's secret outputs that are text."""
    stack = stack_of(tenant_id=tenant_id)
    if stack is None or not stack.secret_outputs:
        return []
    found = decrypt(stack.secret_outputs, context=secret_context(tenant_id))
    return [value for value in found.values() if isinstance(value, str)]
