"""Whether a resource exists under the name its inputs give: asked after a run was cut off while creating it.

Every name is chosen by us before creation (design.md section 5), so the inputs are enough. Secret inputs come as
ciphertext and are not looked at.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from contracts.stack import StackSpec
from stacks.errors import InputInvalid

#: (resource that was being created, resources of its state) -> the id of what exists, or None.
Finder = Callable[[Mapping[str, Any], Sequence[Mapping[str, Any]]], str | None]

#: Bookkeeping of the engine's own, which exists nowhere else: providers, and our components.
_ENGINES_OWN = ("pulumi:", "freehold:")


def resource_finder(spec: StackSpec) -> Finder:
    """Looks where the spec's stack lives. It raises InputInvalid for a type nobody here can look up."""
    found: dict[str, Finder] = {}

    def find(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> str | None:
        kind = str(resource["type"])
        if kind.startswith(_ENGINES_OWN):
            return None
        family = kind.partition(":")[0]
        if family not in found:
            found[family] = _finder(family, spec, kind)
        return found[family](resource, resources)

    return find


def _finder(family: str, spec: StackSpec, kind: str) -> Finder:
    # Imported when asked for: each brings a client of its own.
    match family:
        case "local":
            from stacks.finding.local import local_find

            return local_find
        case "aws":
            from stacks.finding.aws import aws_finder

            return aws_finder(spec)
        case "kubernetes":
            from stacks.finding.kubernetes import object_find

            return object_find
    raise InputInvalid(f"nobody can tell whether a {kind} was created")
