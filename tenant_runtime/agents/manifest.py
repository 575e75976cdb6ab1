"""`agents.toml`: which agents this runtime serves. Parsing only; loading.py imports what it names."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class Manifest(Section):
    agents: Annotated[list[AgentEntry], Field(min_length=1)]
    tools: list[ToolEntry] = []


def manifest_read(path: Path) -> Manifest:
    """The manifest, or ManifestInvalid with every place that does not fit."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ManifestInvalid(str(path), [f"cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ManifestInvalid(str(path), [f"is not TOML: {error}"]) from error
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ManifestInvalid(str(path), problems) from error
    names = [agent.name for agent in manifest.agents]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ManifestInvalid(str(path), [f"agent {name!r} is there twice" for name in twice])
    return manifest
