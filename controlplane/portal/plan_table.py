"""A plan as people read it: what it destroys first, property by property, without values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from contracts.plan_document import resources_representation
from contracts.planned import STATEFUL_RULE

_SIGNS: Final = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
_KINDS: Final = {
    "add": "added",
    "add-replace": "added, replaces the resource",
    "delete": "removed",
    "delete-replace": "removed, replaces the resource",
    "update": "changed",
    "update-replace": "changed, replaces the resource",
}
_HIDDEN: Final = "value hidden"


@dataclass(frozen=True)
class PropertyChange:
    path: str
    words: str
    forces_replace: bool


@dataclass(frozen=True)
class PlannedRow:
    op: str
    sign: str
    name: str
    type: str
    loses_data: bool
    changes: list[PropertyChange]


def plan_table(
    plan: Sequence[Mapping[str, Any]] | None, findings: Sequence[Mapping[str, Any]]
) -> list[PlannedRow]:
    """Only what changes; `findings` are the policy's, of which one tells of lost data."""
    lost = {found["urn"] for found in findings if found["rule"] == STATEFUL_RULE}
    return [
        PlannedRow(
            op=row["op"],
            sign=_SIGNS[row["op"]],
            name=row["name"],
            type=row["type"],
            loses_data=row["urn"] in lost,
            changes=[_change(diff) for diff in row["diffs"]],
        )
        for row in resources_representation(plan or [])
        if row["op"] in _SIGNS
    ]


def _change(diff: Mapping[str, Any]) -> PropertyChange:
    words = _KINDS.get(diff["kind"], diff["kind"])
    if diff.get("secret"):
        words = f"{words}, {_HIDDEN}"
    return PropertyChange(diff["path"], words, diff["kind"].endswith("-replace"))
