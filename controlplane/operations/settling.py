"""What a killed run left half done in a stack's state, and how it is settled before the next run. Pure.

The engine writes "about to create X" before it calls the provider. A kill in between leaves that entry behind, and
the next `up` would create X again beside the one that exists. Pulumi's own ways do not help: clearing the entries
forgets what exists, importing them adopted nothing (docs/adr/0010). So each is put to the provider under the name
we had chosen beforehand, and is adopted, or dropped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: (resource that was being created, resources of its state) -> the id of what exists under its name, or None.
Finder = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], str | None]

#: Fields of a pending entry's resource that only the end of its creation may set.
_UNFINISHED = ("id", "outputs", "created", "modified")


@dataclass
class Settlement:
    """`adopted` and `dropped` are URNs; `deployment` is the state to put back, None when nothing was pending."""

    deployment: dict[str, Any] | None = None
    adopted: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        return (
            f"The run before this one was cut off: of {len(self.adopted) + len(self.dropped)} unfinished steps "
            f"{len(self.adopted)} had been done and were adopted, {len(self.dropped)} had not."
        )


def pending_settle(exported: dict[str, Any], *, find: Finder) -> Settlement:
    """`exported` is what `pulumi stack export` gives. Secrets in it stay as they are."""
    deployment = exported.get("deployment") or {}
    pending = deployment.get("pending_operations") or []
    if not pending:
        return Settlement()
    settlement = Settlement()
    resources = list(deployment.get("resources") or [])
    known = {resource["urn"] for resource in resources}
    for entry in pending:
        resource = entry["resource"]
        urn = resource["urn"]
        # Updates, deletions and reads concern resources that are in the state already; a refresh looks at those.
        found = None
        if entry.get("type") == "creating" and urn not in known:
            found = find(resource, resources)
        if found is None:
            settlement.dropped.append(urn)
            continue
        settlement.adopted.append(urn)
        known.add(urn)
        begun = {key: value for key, value in resource.items() if key not in _UNFINISHED}
        # What the inputs promised; the refresh that follows reads what really is.
        resources.append({**begun, "id": found, "outputs": resource.get("inputs") or {}})
    rest = {key: value for key, value in deployment.items() if key != "pending_operations"}
    settlement.deployment = {**exported, "deployment": {**rest, "resources": resources}}
    return settlement
