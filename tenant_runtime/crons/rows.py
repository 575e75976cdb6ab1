"""Rows of crons. `owner` None sees everybody's (access/visibility.py); a foreign cron is a missing one."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg import sql
from psycopg.types.json import Jsonb

from tenant_runtime.access.principals import Principal
from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import NotFound

Row = dict[str, Any]
SORTABLE: Final = (
    "cron_id", "assistant_id", "thread_id", "created_at", "updated_at", "next_run_date", "end_time",
)  # fmt: skip
_CHANGEABLE: Final = (
    "schedule", "timezone", "end_time", "enabled", "on_run_completed", "payload", "metadata", "next_run_date",
)  # fmt: skip
_MINE: Final = sql.SQL("(%(owner)s::text IS NULL OR owner = %(owner)s)")


@dataclass(frozen=True)
class CronWanted:
    """A cron as asked for, already checked. `payload` is the run request its runs begin with."""

    assistant_id: str
    thread_id: uuid.UUID | None
    schedule: str
    timezone: str | None
    end_time: datetime | None
    enabled: bool
    on_run_completed: str | None
    payload: Row
    metadata: Row
    next_run_date: datetime | None


class CronRows:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, wanted: CronWanted, *, maker: Principal) -> Row:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "INSERT INTO crons (cron_id, owner, role, assistant_id, thread_id, schedule, timezone, end_time, "
                "enabled, on_run_completed, payload, metadata, next_run_date) "
                "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING *",
                [
                    uuid.uuid4(), maker.id, maker.role, wanted.assistant_id, wanted.thread_id, wanted.schedule,
                    wanted.timezone, wanted.end_time, wanted.enabled, wanted.on_run_completed,
                    Jsonb(wanted.payload), Jsonb(wanted.metadata), wanted.next_run_date,
                ],
            )  # fmt: skip
            row = await cursor.fetchone()
        assert row is not None
        return row

    async def get(self, cron_id: uuid.UUID, *, owner: str | None) -> Row:
        statement = sql.SQL("SELECT * FROM crons WHERE cron_id = %(id)s AND {}").format(_MINE)
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement, {"id": cron_id, "owner": owner})).fetchone()
        if row is None:
            raise NotFound(f"no cron {cron_id}", code="cron_not_found")
        return row

    async def update(self, cron_id: uuid.UUID, changes: Row, *, owner: str | None) -> Row:
        """Sets the columns named in `changes`."""
        assignments = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name))
            for name in _CHANGEABLE
            if name in changes
        )
        statement = sql.SQL(
            "UPDATE crons SET {}, updated_at = now() WHERE cron_id = %(id)s AND {} RETURNING *"
        ).format(assignments, _MINE)
        values = {
            name: Jsonb(value) if name in ("payload", "metadata") else value
            for name, value in changes.items()
        }
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, values | {"id": cron_id, "owner": owner})
            row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"no cron {cron_id}", code="cron_not_found")
        return row

    async def delete(self, cron_id: uuid.UUID, *, owner: str | None) -> None:
        statement = sql.SQL("DELETE FROM crons WHERE cron_id = %(id)s AND {}").format(_MINE)
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, {"id": cron_id, "owner": owner})
        if cursor.rowcount != 1:
            raise NotFound(f"no cron {cron_id}", code="cron_not_found")

    @staticmethod
    def _where(filters: Row, owner: str | None) -> tuple[sql.Composed, Row]:
        parts: list[sql.Composable] = [_MINE]
        for name in ("assistant_id", "thread_id", "enabled"):
            if filters.get(name) is not None:
                parts.append(sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)))
        if filters.get("metadata"):
            parts.append(sql.SQL("metadata @> %(metadata)s"))
            filters = filters | {"metadata": Jsonb(filters["metadata"])}
        return sql.SQL(" AND ").join(parts), filters | {"owner": owner}

    async def search(
        self,
        filters: Row,
        *,
        owner: str | None,
        limit: int,
        offset: int,
        sort_by: str,
        descending: bool,
    ) -> list[Row]:
        where, values = self._where(filters, owner)
        statement = sql.SQL(
            "SELECT * FROM crons WHERE {} ORDER BY {} {} NULLS LAST, cron_id LIMIT %(limit)s OFFSET %(offset)s"
        ).format(
            where,
            sql.Identifier(sort_by if sort_by in SORTABLE else "created_at"),
            sql.SQL("DESC" if descending else "ASC"),
        )
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, values | {"limit": limit, "offset": offset})
            return await cursor.fetchall()

    async def count(self, filters: Row, *, owner: str | None) -> int:
        where, values = self._where(filters, owner)
        statement = sql.SQL("SELECT count(*) AS n FROM crons WHERE {}").format(where)
        async with self._pool.connection() as conn:
            row = await (await conn.execute(statement, values)).fetchone()
        return int(row["n"]) if row else 0

    @staticmethod
    async def due(conn: Connection) -> Row | None:
        """A cron whose moment has come, locked until the transaction ends; another replica passes it by."""
        cursor = await conn.execute(
            "SELECT *, now() AS at FROM crons WHERE enabled AND next_run_date <= now() "
            "ORDER BY next_run_date LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        return await cursor.fetchone()

    @staticmethod
    async def fired(conn: Connection, row: Row, *, next_run_date: datetime | None, error: str | None) -> bool:
        """Moves a cron on from the moment it was due; False when somebody has changed it meanwhile."""
        cursor = await conn.execute(
            "UPDATE crons SET next_run_date = %s, last_error = %s "
            "WHERE cron_id = %s AND next_run_date = %s AND enabled",
            [next_run_date, error, row["cron_id"], row["next_run_date"]],
        )
        return cursor.rowcount == 1
