"""Rows of assistants. An update adds a version; which version counts is the assistant's own column."""

import uuid
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import sql
from psycopg.errors import UniqueViolation
from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import Conflict, NotFound

Row = dict[str, Any]
_CURRENT: Final = sql.SQL(
    "SELECT a.assistant_id, a.owner, a.created_at, a.updated_at, v.version, v.agent, v.name, v.description, "
    "v.config, v.context, v.metadata FROM assistants a JOIN assistant_versions v USING (assistant_id, version)"
)


@dataclass(frozen=True)
class AssistantParts:
    """What a version holds."""

    agent: str
    name: str
    description: str | None = None
    config: Row = field(default_factory=dict)
    context: Row = field(default_factory=dict)
    metadata: Row = field(default_factory=dict)


def _missing(assistant_id: object) -> NotFound:
    return NotFound(f"no assistant {str(assistant_id)[:80]!r}", code="assistant_not_found")


class AssistantRows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self, *, assistant_id: uuid.UUID | None, owner: str, parts: AssistantParts, if_exists: str
    ) -> Row:
        """The new assistant in its first version; with `do_nothing` the one that is there, else Conflict."""
        chosen = assistant_id or uuid.uuid4()
        try:
            async with self._pool.connection() as conn, conn.transaction():
                await conn.execute(
                    "INSERT INTO assistants (assistant_id, owner) VALUES (%s, %s)", [chosen, owner]
                )
                await self._version_add(conn, chosen, 1, parts)
        except UniqueViolation:
            if if_exists != "do_nothing":
                raise Conflict(f"assistant {chosen} exists", code="assistant_exists") from None
        return await self.get(chosen)

    @staticmethod
    async def _version_add(
        conn: Connection, assistant_id: uuid.UUID, version: int, parts: AssistantParts
    ) -> None:
        await conn.execute(
            "INSERT INTO assistant_versions (assistant_id, version, agent, name, description, config, context, "
            "metadata) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                assistant_id, version, parts.agent, parts.name, parts.description, Jsonb(parts.config),
                Jsonb(parts.context), Jsonb(parts.metadata),
            ],
        )  # fmt: skip

    async def get(self, assistant_id: uuid.UUID) -> Row:
        async with self._pool.connection() as conn:
            return await self._get(conn, assistant_id)

    async def _get(self, conn: Connection, assistant_id: uuid.UUID) -> Row:
        cursor = await conn.execute(_CURRENT + sql.SQL(" WHERE a.assistant_id = %s"), [assistant_id])
        row = await cursor.fetchone()
        if row is None:
            raise _missing(assistant_id)
        return row

    async def _lock(self, conn: Connection, assistant_id: uuid.UUID) -> None:
        cursor = await conn.execute(
            "SELECT 1 FROM assistants WHERE assistant_id = %s FOR UPDATE", [assistant_id]
        )
        if await cursor.fetchone() is None:
            raise _missing(assistant_id)

    async def update(self, assistant_id: uuid.UUID, changes: Row) -> Row:
        """A new version that differs in `changes`; metadata is merged key by key, the rest replaced."""
        async with self._pool.connection() as conn, conn.transaction():
            await self._lock(conn, assistant_id)
            now = await self._get(conn, assistant_id)
            names = ("agent", "name", "description", "config", "context", "metadata")
            merged = {name: now[name] for name in names} | changes
            merged["metadata"] = now["metadata"] | changes.get("metadata", {})
            cursor = await conn.execute(
                "SELECT max(version) + 1 AS n FROM assistant_versions WHERE assistant_id = %s", [assistant_id]
            )
            found = await cursor.fetchone()
            assert found is not None
            await self._version_add(conn, assistant_id, found["n"], AssistantParts(**merged))
            await self._point(conn, assistant_id, found["n"])
            return await self._get(conn, assistant_id)

    async def set_latest(self, assistant_id: uuid.UUID, version: int) -> Row:
        async with self._pool.connection() as conn, conn.transaction():
            await self._lock(conn, assistant_id)
            cursor = await conn.execute(
                "SELECT 1 FROM assistant_versions WHERE assistant_id = %s AND version = %s",
                [assistant_id, version],
            )
            if await cursor.fetchone() is None:
                raise NotFound(f"assistant {assistant_id} has no version {version}", code="version_not_found")
            await self._point(conn, assistant_id, version)
            return await self._get(conn, assistant_id)

    @staticmethod
    async def _point(conn: Connection, assistant_id: uuid.UUID, version: int) -> None:
        await conn.execute(
            "UPDATE assistants SET version = %s, updated_at = now() WHERE assistant_id = %s",
            [version, assistant_id],
        )

    async def versions(
        self, assistant_id: uuid.UUID, *, metadata: Row | None, limit: int, offset: int
    ) -> list[Row]:
        """Newest first."""
        await self.get(assistant_id)
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT assistant_id, version, agent, name, description, config, context, metadata, created_at "
                "FROM assistant_versions WHERE assistant_id = %s AND metadata @> %s "
                "ORDER BY version DESC LIMIT %s OFFSET %s",
                [assistant_id, Jsonb(metadata or {}), limit, offset],
            )
            return await cursor.fetchall()

    async def delete(self, assistant_id: uuid.UUID) -> None:
        async with self._pool.connection() as conn:
            cursor = await conn.execute("DELETE FROM assistants WHERE assistant_id = %s", [assistant_id])
            if cursor.rowcount != 1:
                raise _missing(assistant_id)

    async def search(self, *, agent: str | None, name: str | None, metadata: Row | None) -> list[Row]:
        """Every assistant that fits, oldest first; the caller mixes in the manifest's own, sorts and cuts."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                _CURRENT
                + sql.SQL(
                    " WHERE (%(agent)s::text IS NULL OR v.agent = %(agent)s) "
                    "AND (%(name)s::text IS NULL OR position(lower(%(name)s) in lower(v.name)) > 0) "
                    "AND v.metadata @> %(metadata)s ORDER BY a.created_at, a.assistant_id LIMIT 10000"
                ),
                {"agent": agent, "name": name, "metadata": Jsonb(metadata or {})},
            )
            return await cursor.fetchall()
