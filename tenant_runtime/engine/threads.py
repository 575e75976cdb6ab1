"""Rows of threads. `owner` None sees everybody's (access/visibility.py); a foreign thread is a missing one."""

import uuid
from typing import Any, Final

from psycopg import AsyncCursor, sql
from psycopg.errors import UniqueViolation
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import Conflict, NotFound

Row = dict[str, Any]
SORTABLE: Final = ("created_at", "updated_at", "thread_id", "status")
_COLUMNS: Final = sql.SQL('thread_id, status, metadata, "values", interrupts, created_at, updated_at')


def _missing(thread_id: uuid.UUID) -> NotFound:
    return NotFound(f"no thread {thread_id}", code="thread_not_found")


class ThreadRows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(
        self,
        *,
        thread_id: uuid.UUID | None,
        metadata: Row,
        owner: str,
        if_exists: str = "raise",
        foreign: bool = False,
    ) -> Row:
        """The new thread; with `do_nothing` the one that is there already, else Conflict.

        One that is there and somebody else's is NotFound, unless `foreign` says that its maker sees everybody's.
        """
        statement = sql.SQL(
            "INSERT INTO threads (thread_id, owner, metadata) VALUES (%s, %s, %s) RETURNING {}"
        )
        chosen = thread_id or uuid.uuid4()
        try:
            async with self._pool.connection() as conn:
                cursor = await conn.execute(statement.format(_COLUMNS), [chosen, owner, Jsonb(metadata)])
                row = await cursor.fetchone()
                assert row is not None
                return row
        except UniqueViolation:
            found = await self.get(chosen, owner=None if foreign else owner)
            if if_exists == "do_nothing":
                return found
            raise Conflict(f"thread {chosen} exists", code="thread_exists") from None

    async def get(self, thread_id: uuid.UUID, *, owner: str | None) -> Row:
        statement = sql.SQL(
            "SELECT {} FROM threads WHERE thread_id = %(t)s AND (%(o)s::text IS NULL OR owner = %(o)s)"
        )
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement.format(_COLUMNS), {"t": thread_id, "o": owner})
            row = await cursor.fetchone()
        if row is None:
            raise _missing(thread_id)
        return row

    async def update(self, thread_id: uuid.UUID, *, metadata: Row, owner: str | None) -> Row:
        """Merges metadata, key by key."""
        statement = sql.SQL(
            "UPDATE threads SET metadata = metadata || %(m)s, updated_at = now() "
            "WHERE thread_id = %(t)s AND (%(o)s::text IS NULL OR owner = %(o)s) RETURNING {}"
        )
        async with self._pool.connection() as conn:
            values = {"m": Jsonb(metadata), "t": thread_id, "o": owner}
            row = await (await conn.execute(statement.format(_COLUMNS), values)).fetchone()
        if row is None:
            raise _missing(thread_id)
        return row

    async def delete(self, thread_id: uuid.UUID, *, owner: str | None) -> None:
        """Removes the thread with its runs and events; Conflict while a run is active on it."""
        async with self._pool.connection() as conn, conn.transaction():
            await self.lock(conn, thread_id, owner=owner)
            cursor = await conn.execute(
                "SELECT 1 FROM runs WHERE thread_id = %s AND status = 'running' LIMIT 1", [thread_id]
            )
            if await cursor.fetchone():
                raise Conflict(f"thread {thread_id} has a running run: cancel it first", code="thread_busy")
            await conn.execute("DELETE FROM threads WHERE thread_id = %s", [thread_id])

    @staticmethod
    async def lock(conn: Connection, thread_id: uuid.UUID, *, owner: str | None) -> Row:
        """Locks the row until the transaction ends; whoever decides about a thread's runs holds it."""
        return await ThreadRows.locked(await ThreadRows.lock_ask(conn, thread_id, owner=owner), thread_id)

    @staticmethod
    async def lock_ask(conn: Connection, thread_id: uuid.UUID, *, owner: str | None) -> AsyncCursor[DictRow]:
        """As `lock`, for a pipeline; `locked` takes the answer."""
        return await conn.execute(
            "SELECT thread_id, status, metadata FROM threads WHERE thread_id = %(t)s "
            "AND (%(o)s::text IS NULL OR owner = %(o)s) FOR UPDATE",
            {"t": thread_id, "o": owner},
        )

    @staticmethod
    async def locked(asked: AsyncCursor[DictRow], thread_id: uuid.UUID) -> Row:
        row = await asked.fetchone()
        if row is None:
            raise _missing(thread_id)
        return row

    @staticmethod
    def _where(filters: Row, owner: str | None) -> tuple[sql.Composed, list[Any]]:
        parts: list[sql.SQL] = [sql.SQL("NOT ephemeral")]
        values: list[Any] = []
        if owner is not None:
            parts.append(sql.SQL("owner = %s"))
            values.append(owner)
        for name, clause in (("metadata", "metadata @> %s"), ("values", '"values" @> %s')):
            if filters.get(name):
                parts.append(sql.SQL(clause))
                values.append(Jsonb(filters[name]))
        if filters.get("status"):
            parts.append(sql.SQL("status = %s"))
            values.append(filters["status"])
        if filters.get("ids"):
            parts.append(sql.SQL("thread_id = ANY(%s)"))
            values.append(list(filters["ids"]))
        return sql.SQL(" AND ").join(parts), values

    async def search(
        self,
        filters: Row,
        *,
        limit: int,
        offset: int,
        sort_by: str,
        descending: bool,
        owner: str | None,
    ) -> list[Row]:
        where, values = self._where(filters, owner)
        order = sql.SQL("DESC") if descending else sql.SQL("ASC")
        statement = sql.SQL(
            "SELECT {} FROM threads WHERE {} ORDER BY {} {}, thread_id LIMIT %s OFFSET %s"
        ).format(_COLUMNS, where, sql.Identifier(sort_by if sort_by in SORTABLE else "updated_at"), order)
        async with self._pool.connection() as conn:
            return await (await conn.execute(statement, [*values, limit, offset])).fetchall()

    async def count(self, filters: Row, *, owner: str | None) -> int:
        where, values = self._where(filters, owner)
        statement = sql.SQL("SELECT count(*) AS n FROM threads WHERE {}").format(where)
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement, values)).fetchone()
        return int(row["n"]) if row else 0

    async def values_set(
        self, conn: Connection, thread_id: uuid.UUID, *, values: str, interrupts: Row
    ) -> None:
        await conn.execute(
            'UPDATE threads SET "values" = %s::jsonb, interrupts = %s, updated_at = now() WHERE thread_id = %s',
            [values, Jsonb(interrupts), thread_id],
        )

    async def due_for_removal(self, limit: int = 50) -> list[uuid.UUID]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT thread_id FROM threads WHERE remove_after < now() AND status <> 'busy' LIMIT %s",
                [limit],
            )
            return [row["thread_id"] for row in await cursor.fetchall()]
