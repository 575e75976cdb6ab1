"""Finds assistants by id or by an agent's name: those of the manifest, and those that somebody made over them."""

import uuid
from dataclasses import dataclass
from typing import Any, Final

from tenant_runtime.agents.loading import Agents, LoadedAgent
from tenant_runtime.assistants.rows import AssistantParts, AssistantRows
from tenant_runtime.errors import Conflict, NotFound

Row = dict[str, Any]
#: Agents come with the deployed version and have no time of their own; SDK clients want one all the same.
_EPOCH: Final = "2026-01-01T00:00:00+00:00"


@dataclass(frozen=True)
class Assistant:
    """An agent and what is laid over it. `row` is as SDK clients read it."""

    agent: LoadedAgent
    row: Row

    @property
    def id(self) -> str:
        return str(self.row["assistant_id"])


def _shown(row: Row) -> Row:
    shown = {name: value for name, value in row.items() if name not in ("agent", "owner")}
    return shown | {"assistant_id": str(row["assistant_id"]), "graph_id": row["agent"]}


def _own(agent: LoadedAgent) -> Assistant:
    """The manifest's assistant over its own agent."""
    row = {
        "assistant_id": agent.assistant_id,
        "graph_id": agent.entry.name,
        "name": agent.entry.name,
        "description": agent.entry.description or None,
        "config": {},
        "context": {},
        "metadata": {"created_by": "system", "agent_version": agent.entry.version},
        "version": 1,
        "created_at": _EPOCH,
        "updated_at": _EPOCH,
    }
    return Assistant(agent, row)


class Assistants:
    def __init__(self, rows: AssistantRows, agents: Agents) -> None:
        self._rows, self._agents = rows, agents

    async def find(self, reference: str) -> Assistant:
        """By assistant id or by an agent's name. NotFound when there is none, or its agent is served no more."""
        if (agent := self._agents.find(reference)) is not None:
            return _own(agent)
        row = await self._rows.get(self._made(reference))
        agent = self._agents.find(row["agent"])
        if agent is None:
            raise NotFound(
                f"assistant {reference} is over the agent {row['agent']!r}, which this version does not serve",
                code="agent_gone",
            )
        return Assistant(agent, _shown(row))

    @staticmethod
    def _made(reference: str) -> uuid.UUID:
        try:
            return uuid.UUID(reference)
        except ValueError:
            raise NotFound(f"no assistant {reference[:80]!r}", code="assistant_not_found") from None

    def _changeable(self, reference: str) -> uuid.UUID:
        if self._agents.find(reference) is not None:
            raise Conflict(
                f"{reference} comes with the manifest and cannot be changed; create an assistant over its agent",
                code="assistant_built_in",
            )
        return self._made(reference)

    def _agent_name(self, reference: str) -> str:
        agent = self._agents.find(reference)
        if agent is None:
            raise NotFound(f"no agent {reference[:80]!r}", code="graph_not_found")
        return agent.entry.name

    async def create(
        self, *, assistant_id: uuid.UUID | None, owner: str, parts: AssistantParts, if_exists: str
    ) -> Row:
        if assistant_id is not None and self._agents.find(str(assistant_id)) is not None:
            if if_exists == "do_nothing":
                return (await self.find(str(assistant_id))).row
            raise Conflict(f"assistant {assistant_id} exists", code="assistant_exists")
        self._agent_name(parts.agent)
        row = await self._rows.create(
            assistant_id=assistant_id, owner=owner, parts=parts, if_exists=if_exists
        )
        return _shown(row)

    async def update(self, reference: str, changes: Row) -> Row:
        chosen = self._changeable(reference)
        if "agent" in changes:
            changes = changes | {"agent": self._agent_name(changes["agent"])}
        return _shown(await self._rows.update(chosen, changes))

    async def set_latest(self, reference: str, version: int) -> Row:
        if (agent := self._agents.find(reference)) is not None and version == 1:
            return _own(agent).row
        return _shown(await self._rows.set_latest(self._changeable(reference), version))

    async def versions(self, reference: str, *, metadata: Row | None, limit: int, offset: int) -> list[Row]:
        if (agent := self._agents.find(reference)) is not None:
            row = _own(agent).row
            return (
                [row][offset : offset + limit] if (metadata or {}).items() <= row["metadata"].items() else []
            )
        rows = await self._rows.versions(self._made(reference), metadata=metadata, limit=limit, offset=offset)
        return [_shown(row) for row in rows]

    async def delete(self, reference: str) -> str:
        """The id that is gone."""
        chosen = self._changeable(reference)
        await self._rows.delete(chosen)
        return str(chosen)

    async def search(
        self,
        *,
        graph_id: str | None,
        name: str | None,
        metadata: Row | None,
        sort_by: str = "created_at",
        descending: bool = False,
    ) -> list[Row]:
        wanted = (metadata or {}).items()
        own = [
            row
            for row in (_own(agent).row for agent in self._agents.all())
            if (graph_id is None or row["graph_id"] == graph_id)
            and (name is None or name.lower() in row["name"].lower())
            and wanted <= row["metadata"].items()
        ]
        made = await self._rows.search(agent=graph_id, name=name, metadata=metadata)
        found = own + [_shown(row) for row in made]
        return sorted(found, key=lambda row: str(row[sort_by]), reverse=descending)
