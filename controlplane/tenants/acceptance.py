"""What a tenant takes now: whether its lifecycle allows an operation, and whether it may be deleted."""

from controlplane.core.errors import Conflict
from controlplane.operations import states as operation_states
from controlplane.tenants import states
from controlplane.tenants.models import Tenant

#: (lifecycle, refused kind) -> what to do instead.
_WAY_ON = {
    (states.SUSPENDED, operation_states.SUSPEND): "It rests already.",
    (
        states.SUSPENDED,
        operation_states.ROTATE_CREDENTIALS,
    ): "Resume it first: its runtime takes the new ones.",
    (states.ACTIVE, operation_states.RESUME): "It runs already. A suspend that still waits can be canceled.",
}


def tenant_accepts(tenant: Tenant, kind: str) -> None:
    """Raises Conflict (`tenant_state`) when its lifecycle does not allow an operation of that kind now."""
    if tenant.lifecycle not in states.ACCEPTS[kind]:
        allowed = ", ".join(sorted(states.ACCEPTS[kind]))
        raise Conflict(
            f"{tenant.slug} is {tenant.lifecycle}; {kind} needs it to be {allowed}.",
            code="tenant_state",
            hint=_WAY_ON.get(
                (tenant.lifecycle, kind), "Wait for its running operation, or retry or cancel it."
            ),
            extra={"lifecycle": tenant.lifecycle},
        )


def protection_check(tenant: Tenant) -> None:
    """Raises Conflict while the tenant is protected against deletion."""
    if tenant.deletion_protection:
        raise Conflict(
            f"{tenant.slug} is protected against deletion.",
            code="deletion_protected",
            hint=f'Lift it first: PATCH /api/v1/tenants/{tenant.slug} {{"deletion_protection": false}}.',
        )
