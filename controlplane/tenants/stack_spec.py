"""From a tenant's row to what its stack must be: plan sizes, overrides on top, placement pinned."""

from django.conf import settings

from contracts.runtime import RuntimeConfig
from contracts.stack import StackSpec
from controlplane.tenants.models import Tenant
from controlplane.tenants.overrides import sizes_merge
from controlplane.tenants.placement import placement_of
from controlplane.tenants.plans import plans
from controlplane.tenants.releases import release_of, release_python
from controlplane.tenants.states import power_off


def stack_spec_of(tenant: Tenant, *, kind: str) -> StackSpec:
    """The complete, secret-free specification of a tenant's stack as an operation of `kind` should leave it."""
    sizes = sizes_merge(plans()[tenant.plan], tenant.overrides, target=tenant.target)
    base_url = settings.MODEL_BASE_URL or None
    return StackSpec(
        tenant_id=tenant.id,
        slug=tenant.slug,
        stack_name=tenant.slug,
        target=tenant.target,
        region=tenant.region,
        plan=tenant.plan,
        postgres=sizes.postgres,
        cache=sizes.cache,
        vector_store=sizes.vector_store,
        gpu=sizes.gpu,
        runtime=RuntimeConfig(
            version=release_of(tenant),
            python=release_python(release_of(tenant)),
            workers=sizes.runtime.workers,
            model=settings.MODEL_NAME,
            model_base_url=base_url,
            usage_url=f"{settings.FREEHOLD_PUBLIC_URL}/api/v1/usage/events",
        ),
        labels=tenant.labels,
        credentials=tenant.credentials,
        suspended=power_off(tenant.lifecycle, kind=kind),
        **placement_of(tenant),
    )
