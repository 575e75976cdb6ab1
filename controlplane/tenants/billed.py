"""Tenants as billing's directory of customers (billing/directory.py); named by the setting BILLING_CUSTOMERS."""

from collections.abc import Iterator
from typing import Final
from uuid import UUID

from billing.directory import BilledCustomer
from controlplane.tenants.models import Tenant
from controlplane.tenants.plans import plans

#: Of a tenant, what `billed` reads.
BILLED_FIELDS: Final = (
    "id", "team_id", "slug", "name", "created_at", "deprovisioned_at", "contact_email", "plan",
)  # fmt: skip


class TenantDirectory:
    def customers(self, *, team_id: UUID | None = None) -> Iterator[BilledCustomer]:
        found = Tenant.objects.all() if team_id is None else Tenant.objects.filter(team_id=team_id)
        for tenant in found.order_by("created_at", "pk").iterator(chunk_size=500):
            yield billed(tenant)

    def customer(self, *, tenant_id: UUID) -> BilledCustomer | None:
        tenant = Tenant.objects.filter(pk=tenant_id).first()
        return None if tenant is None else billed(tenant)


def billed(tenant: Tenant) -> BilledCustomer:
    return BilledCustomer(
        id=tenant.id,
        team_id=tenant.team_id,
        slug=tenant.slug,
        name=tenant.name,
        created_at=tenant.created_at,
        ended_at=tenant.deprovisioned_at,
        contact_email=tenant.contact_email,
        rate_card=plans()[tenant.plan].rate_card,
    )
