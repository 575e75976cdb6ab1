"""Whether a resource exists under the name its inputs give: asked after a run was cut off while creating it."""

from typing import Any

from stacks.errors import InputInvalid
from stacks.providers.local.handlers import HANDLERS, physical_id

#: Bookkeeping of the engine's own, which exists nowhere else.
_ENGINES_OWN = "pulumi:"


def resource_find(resource_type: str, inputs: dict[str, Any]) -> str | None:
    """The id of the existing resource; None when there is none. InputInvalid for a type nobody here can look up.

    Every name is chosen by us before creation (design.md section 5), so inputs are enough. Secret inputs come as
    ciphertext and are not looked at.
    """
    if resource_type.startswith(_ENGINES_OWN):
        return None
    handler = HANDLERS.get(resource_type)
    if handler is None:
        raise InputInvalid(f"nobody can tell whether a {resource_type} was created")
    identity = physical_id(resource_type, inputs)
    return identity if handler.read(identity, inputs) is not None else None
