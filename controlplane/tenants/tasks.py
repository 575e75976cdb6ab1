"""Celery's part in tenants: looking at runtimes by the clock."""

from concurrent.futures import ThreadPoolExecutor

from celery import shared_task

from controlplane.core import clock
from controlplane.tenants import states
from controlplane.tenants.health import runtime_probe
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_health_set


@shared_task(name="controlplane.tenants.tasks.tenants_health_task", expires=30)
def tenants_health_task() -> int:
    """Probes every active tenant, several at once; how many changed their health."""
    tenants = list(Tenant.objects.filter(lifecycle=states.ACTIVE).exclude(runtime_url=""))
    with ThreadPoolExecutor(max_workers=8) as pool:
        probes = list(pool.map(lambda tenant: runtime_probe(tenant.runtime_url), tenants))
    now = clock.now()
    return sum(
        tenant_health_set(tenant=tenant, health=probe.health, checks=probe.checks, now=now)
        for tenant, probe in zip(tenants, probes, strict=True)
    )
