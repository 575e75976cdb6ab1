"""From a tenant's row to what its stack must be: plan sizes, overrides on top, placement pinned."""

from typing import Any

from django.conf import settings
from pydantic import ValidationError

from contracts.runtime import RuntimeConfig
from contracts.stack import StackSpec
from controlplane.core.errors import FieldProblem, ValidationFailed
from controlplane.tenants.models import Tenant
from controlplane.tenants.placement import local_placement
from controlplane.tenants.plans import Plan, Sizes, plans
from controlplane.tenants.releases import release_of, release_python
from controlplane.tenants.states import power_off


def sizes_merge(plan: Plan, overrides: dict[str, Any]) -> Sizes:
    """The plan's sizes with a tenant's overrides on top. Raises ValidationFailed naming each wrong field."""
    merged: dict[str, Any] = plan.sizes.model_dump()
    for part, values in overrides.items():
        if part not in merged or not isinstance(values, dict):
            allowed = ", ".join(sorted(merged))
            raise ValidationFailed.of(f"/overrides/{part}", f"must be an object under one of {allowed}")
        merged[part] = {**merged[part], **values}
    try:
        return Sizes.model_validate(merged)
    except ValidationError as error:
        problems: list[FieldProblem] = [
            {"pointer": "/overrides/" + "/".join(str(p) for p in e["loc"]), "detail": e["msg"]}
            for e in error.errors()
        ]
        raise ValidationFailed(
            "; ".join(f"{p['pointer']}: {p['detail']}" for p in problems), errors=problems
        ) from error


def stack_spec_of(tenant: Tenant, *, kind: str) -> StackSpec:
    """The complete, secret-free specification of a tenant's stack as an operation of `kind` should leave it."""
    sizes = sizes_merge(plans()[tenant.plan], tenant.overrides)
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
        local=local_placement(slug=tenant.slug, slot=tenant.slot) if tenant.slot is not None else None,
    )
