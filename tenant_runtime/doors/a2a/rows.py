"""Tasks in the tables of runs: a task is a run and the runs that answered its questions, newest last.

The task's id is its first run's; those that follow name it in their metadata.
"""

import uuid
from datetime import datetime
from typing import Any, Final

from psycopg import sql

from tenant_runtime.database import Pool

Row = dict[str, Any]
#: A run with whether its thread waits for a person because of it, as `waiting`.
_SELECT: Final = sql.SQL(
    "SELECT r.*, coalesce(r.metadata->'a2a'->>'task', r.run_id::text) AS task_id, (t.status = 'interrupted' "
    "AND t.interrupts <> '{{}}' AND r.status NOT IN ('pending', 'running') AND NOT EXISTS (SELECT 1 FROM runs o "
    "WHERE o.thread_id = r.thread_id AND o.seq > r.seq)) AS waiting FROM runs r JOIN threads t USING (thread_id) "
    "WHERE (%(owner)s::text IS NULL OR t.owner = %(owner)s) AND r.agent = %(agent)s AND {}"
)


class TaskRows:
    """`owner` None sees everybody's tasks; `agent` is the only one whose tasks are seen."""

    def __init__(self, pool: Pool, *, owner: str | None, agent: str) -> None:
        self._pool, self._who = pool, {"owner": owner, "agent": agent}

    @staticmethod
    async def agent_of(pool: Pool, task_id: uuid.UUID) -> str | None:
        """Whose tasks it is among; None when it is gone."""
        async with pool.connection() as conn:
            row = await (await conn.execute("SELECT agent FROM runs WHERE run_id = %s", [task_id])).fetchone()
        return None if row is None else str(row["agent"])

    async def runs(self, task_id: str) -> list[Row]:
        """The task's runs, oldest first; none for one that is not there."""
        try:
            known = uuid.UUID(task_id)
        except ValueError:
            return []
        statement = _SELECT.format(
            sql.SQL(
                "r.thread_id = (SELECT thread_id FROM runs WHERE run_id = %(run)s) AND (r.run_id = %(run)s "
                "OR r.metadata->'a2a'->>'task' = %(task)s) ORDER BY r.seq"
            )
        )
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, {**self._who, "run": known, "task": str(known)})
            return await cursor.fetchall()

    async def page(
        self,
        *,
        thread_id: uuid.UUID | None,
        statuses: list[str] | None,
        waiting: bool | None,
        after: datetime | None,
        limit: int,
        offset: int,
    ) -> tuple[list[Row], int]:
        """The newest run of each task, last changed first, and how many there are."""
        inner = _SELECT.format(
            sql.SQL(
                "r.metadata ? 'a2a' AND (%(t)s::uuid IS NULL OR r.thread_id = %(t)s) ORDER BY task_id, r.seq DESC"
            )
        )
        statement = sql.SQL(
            "SELECT *, count(*) OVER () AS total FROM (SELECT DISTINCT ON (task_id) * FROM ({}) every) newest "
            "WHERE (%(s)s::text[] IS NULL OR status = ANY(%(s)s)) AND (%(w)s::boolean IS NULL OR waiting = %(w)s) "
            "AND (%(a)s::timestamptz IS NULL OR updated_at >= %(a)s) ORDER BY updated_at DESC, seq DESC "
            "LIMIT %(l)s OFFSET %(f)s"
        ).format(inner)
        values = {
            **self._who,
            "t": thread_id,
            "s": statuses,
            "w": waiting,
            "a": after,
            "l": limit,
            "f": offset,
        }
        async with self._pool.connection() as conn:
            rows = await (await conn.execute(statement, values)).fetchall()
        return rows, int(rows[0]["total"]) if rows else 0
