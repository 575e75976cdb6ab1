"""The graph of a stack's resources: who stands beside whom, and that nothing is drawn twice or lost."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controlplane.operations.models import Operation
from controlplane.portal.resource_graph import BOX_HEIGHT, COLUMN, NODES_MAX, ROW, resource_graph
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")


def resource(name: str, parent: str = "", **fields: str) -> dict[str, Any]:
    return {"urn": name, "name": name, "type": "t", "id": f"id-{name}", "parent": parent, **fields}


def test_a_parent_stands_beside_the_first_of_its_children() -> None:
    graph = resource_graph(
        [resource("b", "stack"), resource("a", "stack"), resource("stack", id=""), resource("a1", "a")]
    )
    assert graph is not None
    places = {node.name: (node.x // COLUMN, node.y // ROW) for node in graph.nodes}
    assert places == {"stack": (0, 0), "a": (1, 0), "a1": (2, 0), "b": (1, 1)}
    assert [node.name for node in graph.nodes if node.component] == ["stack"]
    assert graph.height == ROW + BOX_HEIGHT
    assert f"M248 20H276V{ROW + 20}H304" in graph.edges


@settings(deadline=None)
@given(st.lists(st.integers(-1, 30), min_size=2, max_size=30))
def test_each_resource_has_a_place_of_its_own(parents: list[int]) -> None:
    """The parent of number n is one before it, or one that is not among them."""
    resources = [
        resource(str(number), str(parent % number) if number and parent >= 0 else "gone")
        for number, parent in enumerate(parents)
    ]
    graph = resource_graph(resources)
    if graph is None:
        assert all(each["parent"] == "gone" for each in resources)
        return
    assert len(graph.nodes) == len({(node.x, node.y) for node in graph.nodes}) == len(resources)
    assert len(graph.edges) == sum(each["parent"] != "gone" for each in resources)
    assert all(0 <= node.y <= graph.height - BOX_HEIGHT for node in graph.nodes)


def test_what_relates_nothing_or_is_too_much_is_not_drawn() -> None:
    assert resource_graph([]) is None
    assert resource_graph([resource("a"), resource("b")]) is None
    many = [resource("stack"), *(resource(str(number), "stack") for number in range(NODES_MAX))]
    assert resource_graph(many) is None


def test_the_page_draws_all_resources_and_a_filter_only_lists(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client = browse(owner)
    svg = str(client.get("/tenants/acme/resources/").content)
    assert all(f"<title>{name}, {kind}</title>" in svg for name, kind, _ in stories.RESOURCES)
    assert svg.count("<path d=") == len(stories.RESOURCES) - 1
    assert "graph-title" not in str(client.get("/tenants/acme/resources/?q=cache").content)
