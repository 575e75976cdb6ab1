"""What an agent's state is made of, in words that last: a changed state under an unchanged version is found by them.

Types of the agent's own are described by their fields. Types of libraries are only named, and by library alone, so
that an upgrade of one does not look like a change of the agent.
"""

import dataclasses
import hashlib
import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

#: Whose types are named only by the library.
LIBRARIES: Final = ("langchain", "langchain_core", "langgraph", "pydantic", "pydantic_ai", "openai", "mcp")
_DEPTH: Final = 8


def _library(thing: Any) -> str | None:
    top = str(getattr(thing, "__module__", "") or "").partition(".")[0]
    return top if top in LIBRARIES else None


def _fields(kind: type) -> Mapping[str, Any] | None:
    """A structured type's fields by name; None for one that has none. Hints that do not resolve stay as written."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: found.annotation for name, found in kind.model_fields.items()}
    if is_typeddict(kind) or dataclasses.is_dataclass(kind):
        try:
            return get_type_hints(kind)
        except (NameError, TypeError):
            return dict(getattr(kind, "__annotations__", {}))
    return None


def type_describe(kind: Any, depth: int = 0) -> Any:
    """A type as JSON: a name, `{name: {field: type}}`, or `[name, argument, ...]`."""
    origin = get_origin(kind)
    if origin is Annotated:
        return type_describe(get_args(kind)[0], depth)
    if origin in (Union, types.UnionType):
        parts = [type_describe(part, depth) for part in get_args(kind)]
        distinct = sorted({json.dumps(part, sort_keys=True) for part in parts})
        return json.loads(distinct[0]) if len(distinct) == 1 else ["union", *map(json.loads, distinct)]
    if library := _library(kind):
        return library
    if origin is not None:
        name = getattr(origin, "__name__", type(origin).__name__)
        arguments = get_args(kind)
        return [
            name,
            *(part if isinstance(part, str | int) else type_describe(part, depth) for part in arguments),
        ]
    name = getattr(kind, "__name__", type(kind).__name__)
    fields = _fields(kind) if depth < _DEPTH else None
    if fields is None:
        return name
    return {name: {field: type_describe(part, depth + 1) for field, part in sorted(fields.items())}}


def channels_describe(channels: Mapping[str, Any]) -> dict[str, Any]:
    """Each channel of the state: how it keeps its value, of which type, and merged by which function."""
    described: dict[str, Any] = {}
    for name, channel in channels.items():
        if name.startswith("__") or name.startswith("branch:"):
            continue
        part: dict[str, Any] = {
            "channel": type(channel).__name__,
            "type": type_describe(getattr(channel, "ValueType", Any)),
        }
        reducer = getattr(channel, "operator", None)
        if reducer is not None:
            part["reducer"] = _library(reducer) or getattr(reducer, "__qualname__", type(reducer).__name__)
        described[name] = part
    return described


def fingerprint(schema: Mapping[str, Any]) -> str:
    """SHA-256 of the schema as canonical JSON, in hex."""
    text = json.dumps(schema, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What was added, removed and changed, by the names of the state's channels."""
    parts = [
        f"{word} {', '.join(sorted(names))}"
        for word, names in (
            ("added", after.keys() - before.keys()),
            ("removed", before.keys() - after.keys()),
            ("changed", {name for name in before.keys() & after.keys() if before[name] != after[name]}),
        )
        if names
    ]
    return "; ".join(parts) or "changed inside"
