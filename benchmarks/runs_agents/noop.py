"""Ten nodes in a row that do nothing: what is left of a run is what its server takes. The same file for every peer."""

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

NODES = 10


class State(TypedDict, total=False):
    count: int


async def step(state: State) -> State:
    return {"count": state.get("count", 0) + 1}


builder = StateGraph(State)
names = [f"step{number}" for number in range(NODES)]
for name in names:
    builder.add_node(name, step)
for before, after in zip([START, *names], [*names, END], strict=True):
    builder.add_edge(before, after)
graph = builder.compile()
