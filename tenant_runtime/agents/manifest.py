"""`agents.toml`: which agents this runtime serves. Parsing only; loading.py imports what it names."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tenant_runtime.agents.report import Problem, Report
from tenant_runtime.errors import ManifestInvalid

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Target = Annotated[str, Field(pattern=r"^[^:]+:[A-Za-z_][A-Za-z0-9_]*$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Section):
    """`steps` bounds a graph's supersteps, `timeout_s` a whole run."""

    steps: Annotated[int, Field(ge=1, le=1000)] = 50
    timeout_s: Annotated[float, Field(gt=0, le=86400)] = 300.0


class AgentEntry(Section):
    name: Name
    adapter: Literal["langgraph", "pydantic_ai", "callable"] = "langgraph"
    target: Target
    """`module:attribute` or `./file.py:attribute`, relative to the manifest."""
    version: Annotated[str, Field(min_length=1, max_length=60)] = "1"
    description: str = ""
    tools: list[str] = []
    model: str | None = None
    limits: Limits = Limits()


class ToolEntry(Section):
    """A tool of the vendor's own: `target` names a `tenant_runtime.gateway.tools.Tool`."""

    name: Name
    target: Target


class TriggerEntry(Section):
    """A signed message to POST /triggers/NAME starts a run of `agent`."""

    name: Name
    agent: str
    kind: Literal["webhook"] = "webhook"
    secret: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]{0,99}$")]
    """The environment variable that holds the signing secret; several, with spaces between, while it changes."""
    input: dict[str, Any] | None = None
    """What the agent gets, with {{/pointer}} into the message; without it the message as it is."""
    thread: Annotated[str, Field(pattern=r"^(event|/.+)$")] = "event"
    """A thread of its own for each message (`event`), or one for each value at a pointer into the message."""
    owner: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """Whose the runs are; without it `trigger:NAME`, whom operators see."""
    webhook: str | None = None
    """Where the end of the run is told."""
    optional: bool = False
    """Without its secret the trigger is off, where it would otherwise refuse the start."""


class Manifest(Section):
    agents: Annotated[list[AgentEntry], Field(min_length=1)]
    tools: list[ToolEntry] = []
    triggers: list[TriggerEntry] = []
    invocations: Name | None = None
    """The agent that answers POST /invocations; without it the only callable, else the only agent."""


def _invalid(path: Path, *problems: Problem) -> ManifestInvalid:
    return ManifestInvalid(Report(str(path), problems=problems))


def manifest_read(path: Path) -> Manifest:
    """The manifest, or ManifestInvalid with every place that does not fit."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        problem = Problem("manifest_unreadable", "file", f"cannot be read: {error.strerror}")
        raise _invalid(path, problem) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(path, Problem("manifest_malformed", "file", f"is not TOML: {error}")) from error
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise _invalid(
            path,
            *(
                Problem("manifest_malformed", ".".join(map(str, item["loc"])) or "file", item["msg"])
                for item in error.errors()
            ),
        ) from error
    problems = [
        Problem("name_taken", f"{kind} {name!r}", "is there twice", "give one of them another name")
        for kind, names in (
            ("agent", [agent.name for agent in manifest.agents]),
            ("tool", [tool.name for tool in manifest.tools]),
            ("trigger", [trigger.name for trigger in manifest.triggers]),
        )
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if manifest.invocations is not None and all(
        agent.name != manifest.invocations for agent in manifest.agents
    ):
        detail, todo = f"there is no agent {manifest.invocations!r}", "name one of the agents"
        problems.append(Problem("manifest_malformed", "invocations", detail, todo))
    if problems:
        raise _invalid(path, *problems)
    return manifest
