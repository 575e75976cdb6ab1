"""Which rows of a thread may go when only its newest state is wanted. Pure; `thread_data.py` does it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Held:
    """What pruning must know of a checkpoint.

    `stored` names channels whose value is there, in a row of its own or inside; `delta` those that are rebuilt from
    ancestors; `root` is the outermost checkpoint that a subgraph's belongs to.
    """

    id: str
    ns: str
    parent: str | None
    versions: Mapping[str, Any]
    stored: frozenset[str]
    delta: frozenset[str]
    root: str | None


def held(checkpoint_id: str, ns: str, found: Any, markers: frozenset[str]) -> Held:
    """From an envelope and the markers of its row."""
    values = found.checkpoint.get("channel_values") or {}
    inside = {name for name, value in values.items() if value is not None}
    counters = found.metadata.get("counters_since_delta_snapshot") or {}
    return Held(
        id=checkpoint_id, ns=ns, parent=found.parent, versions=found.checkpoint["channel_versions"],
        stored=frozenset(found.blobs) | inside | markers, delta=frozenset(counters),
        root=(found.metadata.get("parents") or {}).get(""),
    )  # fmt: skip


def kept_ids(checkpoints: list[Held], *, keep: int = 1) -> set[tuple[str, str]]:
    """(ns, id) of the newest `keep` of each namespace, and of the ancestors their delta channels are rebuilt from.

    A subgraph call's namespace goes with the outermost checkpoint it began at.
    """
    by_ns: dict[str, dict[str, Held]] = {}
    for each in checkpoints:
        by_ns.setdefault(each.ns, {})[each.id] = each
    kept: set[tuple[str, str]] = set()
    for ns in sorted(by_ns, key=lambda name: (name.count("|") + (name != ""), name)):
        members = by_ns[ns]
        heads = sorted(members, reverse=True)[:keep]
        root = members[heads[0]].root
        if ":" in ns and root is not None and root in by_ns.get("", {}) and ("", root) not in kept:
            continue
        for head in heads:
            kept |= {(ns, id_) for id_ in _needed(members, head)}
    return kept


def _needed(members: Mapping[str, Held], head: str) -> set[str]:
    needed, missing = {head}, set(members[head].delta - members[head].stored)
    parent = members[head].parent
    while missing and parent is not None and parent in members:
        needed.add(parent)
        missing -= members[parent].stored
        parent = members[parent].parent
    return needed
