"""Tenants as billing's customers: each with its team, its plan's prices and its end."""

from datetime import UTC, datetime, timedelta

from billing.directory import directory
from billing.period import period_parse
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import Person

Acme = tuple[Tenant, Operation]


def test_the_directory_knows_every_tenant_and_its_end(acme: Acme, owner: Person, stranger: Person) -> None:
    tenant, _ = acme
    ended = datetime(2026, 11, 5, tzinfo=UTC)
    Tenant.objects.filter(pk=tenant.pk).update(created_at=ended - timedelta(days=1), deprovisioned_at=ended)
    (customer,) = directory().customers()
    assert (customer.id, customer.slug, customer.team_id) == (tenant.pk, "acme", owner.team.pk)
    assert customer.fallback.key == "starter"
    assert directory().customer(tenant_id=tenant.pk) == customer
    assert list(directory().customers(team_id=stranger.team.pk)) == []
    lived = {key: customer.lived_in(period_parse(key)) for key in ("2026-10", "2026-11", "2026-12")}
    assert lived == {"2026-10": False, "2026-11": True, "2026-12": False}
