"""Loads what a manifest names and gives each agent a graph. All problems are found at once; never half is served."""

import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenant_runtime.agents.adapters import langgraph, plain, pydantic_ai
from tenant_runtime.agents.adapters.adapted import Adapted, Graph
from tenant_runtime.agents.manifest import AgentEntry, Manifest, manifest_read
from tenant_runtime.agents.report import Problem, Report
from tenant_runtime.agents.targets import target_load
from tenant_runtime.errors import ManifestInvalid
from tenant_runtime.gateway.gate import Gateway
from tenant_runtime.gateway.tools import TOOLS, Tool
from tenant_runtime.triggers.loading import LoadedTrigger, triggers_load

#: An agent's default assistant id is a name-based UUID in this namespace (as SDK clients expect UUIDs).
ASSISTANT_NAMESPACE: Final = uuid.UUID("6ba7b821-9dad-11d1-80b4-00c04fd430c8")
#: What makes a graph of a target. Raises TypeError for one that does not fit.
ADAPTERS: Final[Mapping[str, Callable[[Any, AgentEntry], Adapted]]] = {
    "langgraph": langgraph.adapt,
    "callable": plain.adapt,
    "pydantic_ai": pydantic_ai.adapt,
}


@dataclass(frozen=True)
class LoadedAgent:
    """`graph_with(checkpointer)` gives a graph bound to a checkpointer; `gateway` holds its allowed tools, `schema`
    says what its threads' state is made of."""

    entry: AgentEntry
    assistant_id: str
    graph_with: Callable[[Any], Graph]
    gateway: Gateway
    schema: dict[str, Any]
    streams: bool = False


class Agents:
    """The agents by name and by assistant id, the triggers by name. `manifest` is None when it could not be read."""

    def __init__(
        self,
        agents: list[LoadedAgent],
        report: Report,
        manifest: Manifest | None = None,
        triggers: dict[str, LoadedTrigger] | None = None,
    ) -> None:
        self._set(agents, report, manifest, triggers or {})

    def _set(
        self,
        agents: list[LoadedAgent],
        report: Report,
        manifest: Manifest | None,
        triggers: dict[str, LoadedTrigger],
    ) -> None:
        self.report, self.manifest, self.triggers = report, manifest, triggers
        self._by_name = {agent.entry.name: agent for agent in agents}
        self._by_id = {agent.assistant_id: agent for agent in agents}

    def find(self, reference: str) -> LoadedAgent | None:
        return self._by_name.get(reference) or self._by_id.get(reference)

    def all(self) -> list[LoadedAgent]:
        return list(self._by_name.values())

    def replace(self, other: "Agents") -> None:
        """Serves the other's from now on. Runs that go on keep the agent they began with."""
        self._set(other.all(), other.report, other.manifest, other.triggers)


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _tools_load(manifest: Manifest, folder: Path, problems: list[Problem]) -> dict[str, Tool]:
    tools: dict[str, Tool] = dict(TOOLS)
    for entry in manifest.tools:
        place = f"tool {entry.name!r}"
        try:
            found = target_load(entry.target, folder)
        except (Exception, SystemExit) as error:
            problems.append(Problem("import_failed", place, _reason(error), f"repair {entry.target}"))
            continue
        if not isinstance(found, Tool):
            detail = f"{entry.target} is not a Tool but {type(found).__name__}"
            todo = "the target must be a tenant_runtime.gateway.tools.Tool"
            problems.append(Problem("tool_misfit", place, detail, todo))
        elif entry.name in TOOLS:
            detail = "the name of a built-in tool cannot be taken over"
            problems.append(Problem("name_taken", place, detail, "give it another name"))
        else:
            tools[entry.name] = found
    return tools


def _tools_of(
    entry: AgentEntry, adapted: Adapted | None, tools: dict[str, Tool], problems: list[Problem]
) -> None:
    """Adds the agent's own tools to `tools`, and reports names that nothing stands behind, or nobody granted."""
    place = f"agent {entry.name!r}"
    own, opened = (adapted.own_tools, adapted.open_tools) if adapted is not None else ({}, None)
    for name in own.keys() & tools.keys():
        detail = f"its function {name!r} has the name of a tool of the manifest"
        problems.append(Problem("name_taken", place, detail, "rename one of the two"))
    for name in sorted(own.keys() - set(entry.tools)):
        detail = f"its function {name!r} is not among its `tools`"
        problems.append(
            Problem("tool_missing", place, detail, f"add {name!r} to `tools`, or remove the function")
        )
    tools.update(own)
    for name in entry.tools:
        if name not in tools and opened is not None:
            tools[name] = opened(name)
        if name not in tools:
            todo = "add a [[tools]] entry of that name, or take it off the list"
            problems.append(Problem("tool_missing", place, f"there is no tool {name!r}", todo))


def _agent_load(
    entry: AgentEntry, folder: Path, shared: dict[str, Tool], problems: list[Problem]
) -> LoadedAgent | None:
    place, known = f"agent {entry.name!r}", len(problems)
    tools = dict(shared)
    adapted: Adapted | None = None
    try:
        found = target_load(entry.target, folder)
    except (Exception, SystemExit) as error:
        problems.append(Problem("import_failed", place, _reason(error), f"repair {entry.target}"))
    else:
        try:
            adapted = ADAPTERS[entry.adapter](found, entry)
            adapted.graph_with(None)
        except (Exception, SystemExit) as error:
            todo = f"make {entry.target} fit the adapter {entry.adapter}, or name another adapter"
            problems.append(Problem("adapter_misfit", place, _reason(error), todo))
    if adapted is not None or entry.adapter != "pydantic_ai":
        # Looked at even for an agent that did not load: whoever repairs it should see everything at once.
        _tools_of(entry, adapted, tools, problems)
    if adapted is None or len(problems) > known:
        return None
    assistant_id = str(uuid.uuid5(ASSISTANT_NAMESPACE, entry.name))
    gateway = Gateway(tools, entry.tools, agent=entry.name)
    return LoadedAgent(entry, assistant_id, adapted.graph_with, gateway, adapted.schema, adapted.streams)


def manifest_examine(path: Path) -> tuple[Report, Agents]:
    """Everything wrong at once, and the agents that loaded; to be served only if the report is good."""
    try:
        manifest = manifest_read(path)
    except ManifestInvalid as invalid:
        return invalid.report, Agents([], invalid.report)
    folder = path.resolve().parent
    problems: list[Problem] = []
    tools = _tools_load(manifest, folder, problems)
    loaded = [
        agent
        for entry in manifest.agents
        if (agent := _agent_load(entry, folder, tools, problems)) is not None
    ]
    triggers = triggers_load(manifest, [entry.name for entry in manifest.agents], os.environ, problems)
    names = tuple(agent.entry.name for agent in loaded)
    report = Report(str(path), names, tuple(triggers), tuple(problems))
    return report, Agents(loaded, report, manifest, triggers)


def agents_load(path: Path) -> Agents:
    """Every agent of the manifest, or ManifestInvalid with the report of all that is wrong."""
    report, agents = manifest_examine(path)
    if not report.good:
        raise ManifestInvalid(report)
    return agents
