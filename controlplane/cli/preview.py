"""`freehold preview`: a plan of one tenant, fetched and told."""

from typing import Any

from controlplane.cli.client import api_connect, segment
from controlplane.cli.commands_operations import DEFAULT_TIMEOUT_S, follow

_SIGNS = {"create": "+", "update": "~", "replace": "±", "delete": "-"}


def preview_tenant(slug: str) -> dict[str, Any]:
    """Queues a preview, waits for it, and returns {tenant, operation, summary, resources}."""
    api = api_connect()
    operation = api.post(f"tenants/{segment(slug)}/preview", {"reason": "freehold preview"})["operation"]
    follow(api, operation["id"], timeout_s=DEFAULT_TIMEOUT_S, quiet=True)
    return {"tenant": slug, **api.get(f"operations/{operation['id']}/plan")}


def preview_text(plan: dict[str, Any], *, markdown: bool) -> str:
    """The plan for a person, or for a pull request's comment."""
    changed = [resource for resource in plan["resources"] if resource["op"] in _SIGNS]
    counts = (
        ", ".join(f"{plan['summary'][op]} to {op}" for op in _SIGNS if plan["summary"][op]) or "no changes"
    )
    head = f"### {plan['tenant']}: {counts}" if markdown else f"{plan['tenant']}: {counts}"
    lines = [f"{_SIGNS[r['op']]} {r['type']} {r['name']}{_properties(r)}" for r in changed]
    if markdown and lines:
        return "\n".join([head, "", "```diff", *lines, "```"])
    return "\n".join([head, *(f"  {line}" for line in lines)])


def _properties(resource: dict[str, Any]) -> str:
    paths = ", ".join(diff["path"] for diff in resource["diffs"])
    return f" [{paths}]" if paths else ""
