"""Which audit events are about a tenant. Reads only."""

from uuid import UUID

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from controlplane.operations.models import Operation
from controlplane.tenants.models import Snapshot, Tenant


def audit_about(*, team_id: UUID, text: str) -> Q:
    """Events whose subject has this id or is of this kind (`invoice`), and those about a tenant of this slug: it
    itself, its operations and snapshots, and whatever names it in its data."""
    tenants = list(Tenant.objects.filter(team_id=team_id, slug=text).values_list("pk", flat=True))
    about = Q(subject_id=text) | Q(subject_type=text)
    if not tenants:
        return about
    ids = [str(pk) for pk in tenants]
    operations = Operation.objects.filter(tenant__in=tenants).values_list(Cast("pk", TextField()))
    snapshots = Snapshot.objects.filter(tenant__in=tenants).values_list(Cast("pk", TextField()))
    return (
        about
        | Q(subject_id__in=ids)
        | Q(subject_type="operation", subject_id__in=operations)
        | Q(subject_type="snapshot", subject_id__in=snapshots)
        | Q(data__tenant=text)
        | Q(data__tenant_id__in=ids)
    )
