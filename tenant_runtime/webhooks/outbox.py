"""Rows of what is to be posted: webhooks of runs, and what tasks of A2A tell. Each move is one guarded update."""

import json
import uuid
from datetime import timedelta
from typing import Any, Final, Literal, LiteralString

from psycopg import sql

from tenant_runtime.database import Connection, Pool
from tenant_runtime.engine.serial import dumps

Row = dict[str, Any]
#: So long a claimed message belongs to who claimed it; longer than a delivery may take.
CLAIM_S: Final = 60
#: Pauses after failed tries: about nine hours in all, then it is given up.
PAUSES: Final = tuple(timedelta(seconds=s) for s in (2, 15, 60, 300, 1800, 7200, 21600))
MOST_ATTEMPTS: Final = len(PAUSES) + 1
#: What was settled is kept so long, to be looked at.
KEEP: Final = timedelta(days=7)
_RUN: Final = (
    "run_id", "thread_id", "assistant_id", "created_at", "updated_at", "status", "metadata", "multitask_strategy",
)  # fmt: skip


async def completion_write(conn: Connection, run: Row) -> None:
    """For the transaction that ends a run: what its webhook will carry. Nothing where the run asked for none."""
    if run["webhook"] is None:
        return
    body = {name: run[name] for name in _RUN} | {
        "run_started_at": run["started_at"],
        "run_ended_at": run["ended_at"],
        "values": None if run["output"] is None else json.loads(run["output"]),
        "error": None,
    }
    if run["error_code"]:
        body["error"] = {"error": run["error_code"], "message": run["error_detail"]}
    await message_write(conn, run_id=run["run_id"], url=run["webhook"], body=dumps(body))


async def message_write(conn: Connection, *, run_id: uuid.UUID, url: str, body: str) -> None:
    """One message a run; a second for the same run is the same fact again and changes nothing."""
    await conn.execute(
        "INSERT INTO webhook_outbox (id, run_id, url, body) VALUES (%s, %s, %s, %s) ON CONFLICT (run_id) DO NOTHING",
        [uuid.uuid4(), run_id, url, body],
    )


class OutboxRows:
    def __init__(self, pool: Pool, table: Literal["webhook_outbox", "a2a_push_outbox"]) -> None:
        self._pool, self._table = pool, sql.Identifier(table)

    def _sql(self, statement: LiteralString) -> sql.Composed:
        return sql.SQL(statement).format(table=self._table)

    async def claim(self) -> Row | None:
        """The message that is due the longest, ours for CLAIM_S; None when none is due."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                self._sql(
                    "UPDATE {table} SET attempts = attempts + 1, next_at = now() + make_interval(secs => %s) "
                    "WHERE id = (SELECT id FROM {table} WHERE state = 'pending' AND next_at <= now() "
                    "ORDER BY next_at, seq LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *, now() AS at"
                ),
                [CLAIM_S],
            )
            return await cursor.fetchone()

    async def delivered(self, row: Row) -> bool:
        return await self._settle(row, "delivered", None)

    async def failed(self, row: Row, *, error: str, final: bool, luck: float) -> bool:
        """Tried again after a pause, stretched by up to a fifth by `luck` (0 to 1); given up after the last."""
        if final or row["attempts"] >= MOST_ATTEMPTS:
            return await self._settle(row, "failed", error)
        pause = PAUSES[row["attempts"] - 1] * (1 + luck / 5)
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                self._sql(
                    "UPDATE {table} SET next_at = now() + %s, error = %s "
                    "WHERE id = %s AND state = 'pending' AND attempts = %s"
                ),
                [pause, error, row["id"], row["attempts"]],
            )
        return cursor.rowcount == 1

    async def _settle(self, row: Row, state: str, error: str | None) -> bool:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                self._sql(
                    "UPDATE {table} SET state = %s, error = %s, settled_at = now() "
                    "WHERE id = %s AND state = 'pending' AND attempts = %s"
                ),
                [state, error, row["id"], row["attempts"]],
            )
        return cursor.rowcount == 1

    async def forget_old(self) -> int:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                self._sql("DELETE FROM {table} WHERE settled_at < now() - %s"), [KEEP]
            )
        return cursor.rowcount
