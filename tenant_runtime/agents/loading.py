"""Imports what a manifest names and gives each agent a graph. All problems are reported at once."""

import hashlib
import importlib
import importlib.util
import inspect
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from typing_extensions import TypedDict

from tenant_runtime.agents.manifest import AgentEntry, manifest_read
from tenant_runtime.errors import ManifestInvalid
from tenant_runtime.gateway.gate import Gateway
from tenant_runtime.gateway.tools import TOOLS, Tool

#: An agent's default assistant id is a name-based UUID in this namespace (as SDK clients expect UUIDs).
ASSISTANT_NAMESPACE: Final = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")


@dataclass(frozen=True)
class LoadedAgent:
    """`graph_with(checkpointer)` gives a graph bound to a checkpointer; `gateway` holds its allowed tools."""

    entry: AgentEntry
    assistant_id: str
    graph_with: Callable[[Any], Pregel[Any, Any, Any, Any]]
    gateway: Gateway


class Agents:
    """The agents by name and by assistant id."""

    def __init__(self, agents: list[LoadedAgent]) -> None:
        self._by_name = {agent.entry.name: agent for agent in agents}
        self._by_id = {agent.assistant_id: agent for agent in agents}

    def find(self, reference: str) -> LoadedAgent | None:
        return self._by_name.get(reference) or self._by_id.get(reference)

    def all(self) -> list[LoadedAgent]:
        return list(self._by_name.values())


def _module(target: str, folder: Path) -> ModuleType:
    place = target.rpartition(":")[0]
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = (folder / place).resolve()
    if not path.is_file():
        raise ImportError(f"no file {place}")
    name = f"freehold_agent_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is not Python")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, so that its own type hints resolve; taken out again when it fails.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def target_load(target: str, folder: Path) -> Any:
    """The object a target names. Raises whatever its import raises."""
    attribute = target.rpartition(":")[2]
    module = _module(target, folder)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ImportError(f"{target}: the module has no {attribute!r}") from None


def _nodes(found: str | Sequence[str]) -> Literal["*"] | list[str] | None:
    """Interrupt nodes of a compiled graph, as `compile` takes them."""
    if isinstance(found, str):
        return "*"
    return list(found) or None


def _langgraph_adapt(found: Any) -> Callable[[Any], Pregel[Any, Any, Any, Any]]:
    """A StateGraph, a compiled graph, or a function without arguments that makes one of them."""
    if inspect.isfunction(found):
        found = found()
    if isinstance(found, CompiledStateGraph):
        # Compiled anew: in strict mode `compile` is what allows the state's own types to be restored.
        compiled = found

        def recompile(checkpointer: Any) -> Pregel[Any, Any, Any, Any]:
            return compiled.builder.compile(
                checkpointer=checkpointer,
                interrupt_before=_nodes(compiled.interrupt_before_nodes),
                interrupt_after=_nodes(compiled.interrupt_after_nodes),
                name=compiled.name,
            )

        return recompile
    if isinstance(found, StateGraph):
        return lambda checkpointer: found.compile(checkpointer=checkpointer)
    if isinstance(found, Pregel):
        return lambda checkpointer: found.copy({"checkpointer": checkpointer})
    raise TypeError(f"a langgraph agent is a graph or a function that makes one, not {type(found).__name__}")


class CallableState(TypedDict, total=False):
    """State of a plain function's thread."""

    messages: Annotated[list[Any], add_messages]
    input: dict[str, Any]
    output: Any


def _callable_adapt(found: Any) -> Callable[[Any], Pregel[Any, Any, Any, Any]]:
    """`async def agent(state) -> update`: one node around the function."""
    if not inspect.iscoroutinefunction(found):
        raise TypeError("a callable agent is an async function of one argument, the state")
    builder = StateGraph(CallableState)
    builder.add_node("run", found)
    builder.add_edge(START, "run")
    builder.add_edge("run", END)
    return lambda checkpointer: builder.compile(checkpointer=checkpointer)


def _pydantic_ai_adapt(found: Any) -> Callable[[Any], Pregel[Any, Any, Any, Any]]:
    raise TypeError("the adapter pydantic_ai is not part of this version")


ADAPTERS: Final = {
    "langgraph": _langgraph_adapt,
    "callable": _callable_adapt,
    "pydantic_ai": _pydantic_ai_adapt,
}


def agents_load(manifest_path: Path) -> Agents:
    """Every agent of the manifest, or ManifestInvalid naming all that failed: never half of them."""
    manifest = manifest_read(manifest_path)
    folder = manifest_path.resolve().parent
    problems: list[str] = []
    tools: dict[str, Tool] = dict(TOOLS)
    for tool_entry in manifest.tools:
        try:
            found = target_load(tool_entry.target, folder)
        except Exception as error:
            problems.append(f"tool {tool_entry.name!r}: {type(error).__name__}: {error}")
            continue
        if not isinstance(found, Tool):
            problems.append(f"tool {tool_entry.name!r}: {tool_entry.target} is not a Tool")
        elif tool_entry.name in TOOLS:
            problems.append(f"tool {tool_entry.name!r}: the name of a built-in tool cannot be taken over")
        else:
            tools[tool_entry.name] = found
    loaded: list[LoadedAgent] = []
    for entry in manifest.agents:
        missing = [name for name in entry.tools if name not in tools]
        problems.extend(f"agent {entry.name!r}: there is no tool {name!r}" for name in missing)
        try:
            graph_with = ADAPTERS[entry.adapter](target_load(entry.target, folder))
            graph_with(None)
        except Exception as error:
            problems.append(f"agent {entry.name!r}: {type(error).__name__}: {error}")
            continue
        if not missing:
            assistant_id = str(uuid.uuid5(ASSISTANT_NAMESPACE, entry.name))
            gateway = Gateway(tools, entry.tools, agent=entry.name)
            loaded.append(LoadedAgent(entry, assistant_id, graph_with, gateway))
    if problems:
        raise ManifestInvalid(manifest_path.name, problems)
    return Agents(loaded)
