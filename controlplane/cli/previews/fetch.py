"""Asks the control plane for previews and waits for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.labels import is_production
from controlplane.cli.client import Api, operation_wait, segment
from controlplane.cli.errors import CliError
from controlplane.cli.previews.model import TenantPreview, tenant_preview

_REASON = "freehold preview"
#: A tenant without a stack has nothing to preview.
_WITHOUT = ("requested", "deprovisioning", "deprovisioned")


@dataclass(frozen=True)
class Fetched:
    """A tenant's preview, and the whole plan as the API gave it."""

    preview: TenantPreview
    plan: dict[str, Any]


def previews_fetch(
    api: Api, slugs: Sequence[str] | None, *, timeout_s: float, told: Callable[[str], None]
) -> list[Fetched]:
    """For these tenants, or for all that have a stack. All are asked for first: the control plane runs as many at
    once as it may. One that fails is among the results with its error, and holds up no other."""
    tenants = tenants_chosen(api, slugs)
    asked: list[tuple[dict[str, Any], str, str]] = []
    for tenant in tenants:
        try:
            answer = api.post(f"tenants/{segment(tenant['slug'])}/preview", {"reason": _REASON})
            asked.append((tenant, str(answer["operation"]["id"]), ""))
        except CliError as refused:
            asked.append((tenant, "", refused.message))
    found = []
    for number, (tenant, operation_id, error) in enumerate(asked, 1):
        found.append(_one(api, tenant, operation_id, error, timeout_s))
        told(f"{number} of {len(asked)}: {tenant['slug']}")
    return found


def tenants_chosen(api: Api, slugs: Sequence[str] | None) -> list[dict[str, Any]]:
    """The tenants of these slugs, or all that have a stack."""
    if slugs is not None:
        return [api.get(f"tenants/{segment(slug)}") for slug in slugs]
    return [tenant for tenant in api.pages("tenants") if tenant["lifecycle"] not in _WITHOUT]


def _one(api: Api, tenant: dict[str, Any], operation_id: str, error: str, timeout_s: float) -> Fetched:
    if not error:
        try:
            operation = operation_wait(api, operation_id, timeout_s=timeout_s)
            if operation["state"] == "succeeded":
                plan = api.get(f"operations/{segment(operation_id)}/plan")
                return Fetched(tenant_preview(tenant, plan), {"tenant": tenant["slug"], **plan})
            told = operation["error"] or {}
            error = f"{told.get('title', 'it failed')}: {told.get('detail', '')}"
        except CliError as failed:
            error = failed.message
    slug = str(tenant["slug"])
    production = is_production(tenant["labels"])
    return Fetched(
        TenantPreview(slug=slug, production=production, error=error), {"tenant": slug, "error": error}
    )
