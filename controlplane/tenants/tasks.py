"""Celery's part in tenants: looking at runtimes by the clock."""

from concurrent.futures import ThreadPoolExecutor

from celery import shared_task

from controlplane.core import clock
from controlplane.tenants import states
from controlplane.tenants.health import runtime_probe
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import health_changes_prune, tenant_health_look


@shared_task(name="controlplane.tenants.tasks.tenants_health_task", expires=30)
def tenants_health_task() -> int:
    """Probes every active tenant, several at once; of how many the shown health changed."""
    tenants = list(Tenant.objects.filter(lifecycle=states.ACTIVE).exclude(runtime_url=""))
    with ThreadPoolExecutor(max_workers=8) as pool:
        probes = list(pool.map(lambda tenant: runtime_probe(tenant.runtime_url), tenants))
    now = clock.now()
    return sum(
        tenant_health_look(tenant=tenant, probe=probe, now=now)
        for tenant, probe in zip(tenants, probes, strict=True)
    )


@shared_task(name="controlplane.tenants.tasks.health_history_task", expires=3600)
def health_history_task() -> int:
    return health_changes_prune(now=clock.now())
