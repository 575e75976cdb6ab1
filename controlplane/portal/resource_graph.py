"""A stack's resources as a graph, each beside its parent: SVG geometry. Pure: the template draws it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: In the units of the drawing, which are pixels where it is not scaled.
BOX_WIDTH: Final = 248
BOX_HEIGHT: Final = 40
COLUMN: Final = 304
ROW: Final = 52
#: What fits into a box at the size of its type.
_NAME: Final = 30
_TYPE: Final = 34
#: More would be a wall; the table lists them all.
NODES_MAX: Final = 200


@dataclass(frozen=True)
class Node:
    """`x` and `y` are the box's upper left corner."""

    name: str
    type: str
    about: str
    component: bool
    x: int
    y: int


@dataclass(frozen=True)
class Graph:
    width: int
    height: int
    nodes: tuple[Node, ...]
    edges: tuple[str, ...]
    """Paths from a parent's box to a child's."""


def resource_graph(resources: Sequence[Mapping[str, Any]]) -> Graph | None:
    """`resources` are of `Stack.resources`: urn, type, name, id, parent (an URN). None where nothing is related.

    Whose parent is not among them stands in the first column. A cycle, which no engine writes, is left out.
    """
    if not 1 < len(resources) <= NODES_MAX:
        return None
    known = {str(each["urn"]) for each in resources}
    children: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for each in resources:
        parent = str(each.get("parent") or "")
        children[parent if parent in known else ""].append(each)
    if len(children) < 2:
        return None
    nodes: list[Node] = []
    edges: list[str] = []
    rows = 0

    def place(each: Mapping[str, Any], depth: int) -> int:
        """Draws what is below first: a parent stands beside the first of its children. Returns its y."""
        nonlocal rows
        below = [place(child, depth + 1) for child in _ordered(children[str(each["urn"])])]
        if not below:
            rows += 1
        y = below[0] if below else (rows - 1) * ROW
        x = depth * COLUMN
        nodes.append(_node(each, x, y))
        edges.extend(_edge(x, y, child) for child in below)
        return y

    for each in _ordered(children[""]):
        place(each, 0)
    columns = max(node.x for node in nodes) // COLUMN
    return Graph(columns * COLUMN + BOX_WIDTH, rows * ROW - (ROW - BOX_HEIGHT), tuple(nodes), tuple(edges))


def _ordered(resources: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(resources, key=lambda each: (str(each["type"]), str(each["name"])))


def _node(each: Mapping[str, Any], x: int, y: int) -> Node:
    name, kind = str(each["name"]), str(each["type"])
    return Node(
        name=_cut(name, _NAME), type=_cut(kind, _TYPE), about=f"{name}, {kind}", component=not each.get("id"),
        x=x, y=y,
    )  # fmt: skip


def _edge(x: int, y: int, child_y: int) -> str:
    start, end, middle = x + BOX_WIDTH, x + COLUMN, x + BOX_WIDTH + (COLUMN - BOX_WIDTH) // 2
    from_y, to_y = y + BOX_HEIGHT // 2, child_y + BOX_HEIGHT // 2
    return f"M{start} {from_y}H{middle}V{to_y}H{end}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
