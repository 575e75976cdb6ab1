"""Servers and folders of this machine."""

from collections.abc import Mapping, Sequence
from typing import Any

from stacks.errors import InputInvalid
from stacks.providers.local.handlers import HANDLERS, physical_id


def local_find(resource: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> str | None:
    kind, inputs = str(resource["type"]), dict(resource.get("inputs") or {})
    handler = HANDLERS.get(kind)
    if handler is None:
        raise InputInvalid(f"nobody can tell whether a {kind} was created")
    identity = physical_id(kind, inputs)
    return identity if handler.read(identity, inputs) is not None else None
