"""What the engine's events of a preview say of the planned resources, however they were had. Pure; knows no SDK."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from contracts.planned import SECRET, PlannedResource, ResourceOp

#: Engine operations, by what they mean to an operator. Replacement steps count once, at `replace`.
OPS: Mapping[str, ResourceOp] = {
    "create": "create",
    "update": "update",
    "replace": "replace",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "delete": "delete",
    "discard": "delete",
    "same": "same",
    "read": "read",
    "refresh": "refresh",
}

#: One piece of a property path: a quoted key, an index, or a name.
_PIECE: Final = re.compile(r"""\["([^"]*)"\]|\[(\d+)\]|([^.\[\]]+)""")


def urn_parts(urn: str) -> tuple[str, str]:
    """(type, name) of `urn:pulumi:<stack>::<project>::<parent$type>::<name>`."""
    pieces = urn.split("::")
    if len(pieces) < 4:
        return "", urn
    return pieces[2].split("$")[-1], "::".join(pieces[3:])


def op_of(metadata: Any) -> ResourceOp | None:
    """None for a step that is nothing to an operator."""
    return OPS.get(str(getattr(metadata.op, "value", metadata.op)))


@dataclass
class PlanRows:
    """`rows` are what a plan shows, without values. `planned` are the resources with their inputs, by URN, for policy
    and prices."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    planned: dict[str, PlannedResource] = field(default_factory=dict)

    def add(self, metadata: Any) -> list[dict[str, Any]]:
        """Takes in the metadata of one planned step; its changed properties."""
        op = op_of(metadata)
        if op is None:
            return []
        type_name, name = urn_parts(metadata.urn)
        diffs = _diffs(metadata)
        self.rows.append({"urn": metadata.urn, "type": type_name, "name": name, "op": op, "diffs": diffs})
        if op not in ("read", "refresh"):
            self._inputs(metadata, op, type_name, name)
        return diffs

    def _inputs(self, metadata: Any, op: ResourceOp, type_name: str, name: str) -> None:
        known = self.planned.get(metadata.urn)
        old, new = (getattr(getattr(metadata, side, None), "inputs", None) for side in ("old", "new"))
        before = old if old is not None else known and known.before
        # The steps of a replacement each tell a part: the new one has no old, the deleted one no new.
        after = None if op == "delete" else new if new is not None else known and known.after
        self.planned[metadata.urn] = PlannedResource(
            urn=metadata.urn, type=type_name, name=name, op=op, before=before, after=after
        )


def _diffs(metadata: Any) -> list[dict[str, Any]]:
    """Changed properties; values stay out, since a plan is read by more people than secrets are."""
    detailed: Mapping[str, Any] = getattr(metadata, "detailed_diff", None) or {}
    kinds = {path: str(getattr(diff.diff_kind, "value", diff.diff_kind)) for path, diff in detailed.items()}
    if not kinds:
        kinds = dict.fromkeys(getattr(metadata, "diffs", None) or [], "update")
    return [_diff(metadata, path, kind) for path, kind in sorted(kinds.items())]


def _diff(metadata: Any, path: str, kind: str) -> dict[str, Any]:
    """`secret` says that nobody is shown the value: that it changes is news all the same."""
    sides = (getattr(getattr(metadata, side, None), "inputs", None) for side in ("old", "new"))
    return {"path": path, "kind": kind, "secret": any(_holds_secret(_at(inputs, path)) for inputs in sides)}


def _at(value: Any, path: str) -> Any:
    """The value at a property path such as `users["ada"].roles[0]`; None where there is none."""
    for key, index, name in _PIECE.findall(path):
        if isinstance(value, Mapping):
            value = value.get(name or key or index)
        elif isinstance(value, list) and index:
            value = value[int(index)] if int(index) < len(value) else None
        else:
            # The engine hides a list or a map that holds a secret as a whole.
            return value if value == SECRET else None
    return value


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_secret(each) for each in value.values())
    if isinstance(value, list):
        return any(_holds_secret(each) for each in value)
    return bool(value == SECRET)
