"""Locks over more than one row, and their order: a row of a request for several tenants, operations, then their
tenant, as by whoever claims one."""

from uuid import UUID

from django.db import transaction

from controlplane.core.errors import RetryLater
from controlplane.operations import states as operation_states
from controlplane.operations.models import Operation
from controlplane.tenants import states
from controlplane.tenants.models import BulkOutcome, Tenant

_ROUNDS = 20


class _CameBetween(Exception):
    """Rolls a round back, and with it the locks it took."""


def bulk_outcome_lock(row_id: int) -> BulkOutcome | None:
    """The row while its tenant still waits to be asked; None once it was. Needs a transaction."""
    rows = BulkOutcome.objects.select_for_update(of=("self",)).select_related("tenant")
    return rows.filter(pk=row_id, state=states.BULK_WAITING).first()


def tenant_and_operations_lock(tenant_id: UUID) -> Tenant:
    """The tenant, locked together with every open operation of its own. Needs a transaction.

    An operation that is queued between the two locks would have to be locked after the tenant, against the order:
    then both are let go and taken again. RetryLater when that does not end.
    """
    open_ones = Operation.objects.filter(tenant_id=tenant_id, state__in=operation_states.OPEN)
    for _ in range(_ROUNDS):
        try:
            with transaction.atomic():
                locked = [operation.pk for operation in open_ones.select_for_update().order_by("pk")]
                tenant = Tenant.objects.select_for_update().get(pk=tenant_id)
                if open_ones.exclude(pk__in=locked).exists():
                    raise _CameBetween
                return tenant
        except _CameBetween:
            continue
    raise RetryLater("Operations on this tenant keep coming in.", hint="Send the request again.")
