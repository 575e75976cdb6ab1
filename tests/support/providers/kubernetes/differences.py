"""What differs between two versions of an object's inputs, property by property."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kubernetes.utils.quantity import parse_quantity
from pulumi.provider.experimental.provider import PropertyDiffKind

from tests.support.providers.kubernetes.kinds import Kind

Path = tuple[str | int, ...]

#: Properties of a spec below which values are quantities: `1Gi` there is `1024Mi`.
_QUANTITIES = frozenset(
    {
        *("requests", "limits", "hard", "default", "defaultRequest", "max", "min", "overhead", "capacity"),
        *("sizeLimit", "averageValue"),
    }
)
_REPLACING = {
    PropertyDiffKind.ADD: PropertyDiffKind.ADD_REPLACE,
    PropertyDiffKind.DELETE: PropertyDiffKind.DELETE_REPLACE,
    PropertyDiffKind.UPDATE: PropertyDiffKind.UPDATE_REPLACE,
}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, PropertyDiffKind]:
    """Path of each leaf that differs -> how. Paths are written as the engine reads them: `spec.ports[0].name`."""
    return dict(_walk(old, new, ()))


def replacing(
    changes: Mapping[str, PropertyDiffKind], kind: Kind, more: Iterable[str] = ()
) -> dict[str, PropertyDiffKind]:
    """The changes with those marked that force a replacement; `more` are paths besides the kind's own."""
    forcing = ("apiVersion", "kind", "metadata.name", "metadata.namespace", *kind.replaces, *more)
    return {
        path: _REPLACING[change] if any(_below(path, each) for each in forcing) else change
        for path, change in changes.items()
    }


def replaced_roots(changes: Mapping[str, PropertyDiffKind]) -> list[str]:
    """The top properties of what forces a replacement, as the engine wants them."""
    forced = {path for path, change in changes.items() if change in _REPLACING.values()}
    return sorted({path.split(".")[0].split("[")[0] for path in forced})


def same(path: Path, old: Any, new: Any) -> bool:
    """Whether two values at this path mean the same to the apiserver."""
    if path[:1] != ("spec",) or _QUANTITIES.isdisjoint(path):
        return bool(old == new)
    try:
        return bool(parse_quantity(old) == parse_quantity(new))
    except (ValueError, TypeError):
        return bool(old == new)


def _walk(old: Any, new: Any, path: Path) -> Iterator[tuple[str, PropertyDiffKind]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(old.keys() | new.keys()):
            yield from _one(old, new, key, path)
    elif isinstance(old, list) and isinstance(new, list):
        for position in range(max(len(old), len(new))):
            yield from _one(dict(enumerate(old)), dict(enumerate(new)), position, path)
    elif not same(path, old, new):
        yield _written(path), PropertyDiffKind.UPDATE


def _one(
    old: Mapping[Any, Any], new: Mapping[Any, Any], key: str | int, path: Path
) -> Iterator[tuple[str, PropertyDiffKind]]:
    deeper = (*path, key)
    if key not in old:
        yield _written(deeper), PropertyDiffKind.ADD
    elif key not in new:
        yield _written(deeper), PropertyDiffKind.DELETE
    else:
        yield from _walk(old[key], new[key], deeper)


def _written(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif "." in part or "[" in part or '"' in part:
            text += '["' + part.replace('"', '\\"') + '"]'
        else:
            text += f".{part}" if text else part
    return text


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith((f"{root}.", f"{root}["))
