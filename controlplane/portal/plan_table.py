"""A plan as people read it: what it destroys first, property by property, without values. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.utils.translation import gettext, gettext_noop

from contracts.plan_document import resources_representation
from contracts.planned import STATEFUL_RULE

_SIGNS: Final = {"create": "+", "update": "~", "replace": "±", "delete": "-"}
_KINDS: Final = {
    "add": gettext_noop("added"),
    "add-replace": gettext_noop("added, replaces the resource"),
    "delete": gettext_noop("removed"),
    "delete-replace": gettext_noop("removed, replaces the resource"),
    "update": gettext_noop("changed"),
    "update-replace": gettext_noop("changed, replaces the resource"),
}
_HIDDEN: Final = gettext_noop("value hidden")


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
    words = gettext(_KINDS[diff["kind"]]) if diff["kind"] in _KINDS else diff["kind"]
    if diff.get("secret"):
        words = f"{words}, {gettext(_HIDDEN)}"
    return PropertyChange(diff["path"], words, diff["kind"].endswith("-replace"))
