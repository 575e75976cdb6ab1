"""Whether this tenant takes new work. The row in the database is the answer, for all replicas and after restarts."""

from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncCursor
from psycopg.rows import DictRow

from tenant_runtime.access.keys import audit_write
from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import Paused


@dataclass(frozen=True)
class Pause:
    """`reason` says why new work is refused, `hint` what its sender can do."""

    reason: str
    hint: str
    since: datetime


class PauseRow:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def current(self) -> Pause | None:
        async with self._pool.connection() as conn:
            return await _read(conn)

    async def pause(self, *, reason: str, hint: str, actor: str) -> Pause:
        """Refuses new work from now on. A pause that holds already keeps its beginning and takes the new words."""
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "INSERT INTO run_pause AS p (reason, hint, paused_by) VALUES (%s, %s, %s) "
                "ON CONFLICT (only_one) DO UPDATE SET reason = excluded.reason, hint = excluded.hint "
                "WHERE (p.reason, p.hint) IS DISTINCT FROM (excluded.reason, excluded.hint) RETURNING reason",
                [reason, hint, actor],
            )
            if cursor.rowcount:
                await audit_write(conn, actor=actor, action="runs.pause", object_="runs", reason=reason)
            found = await _read(conn)
        assert found is not None
        return found

    async def resume(self, *, actor: str) -> bool:
        """Takes new work again; False when it did already."""
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute("DELETE FROM run_pause")
            if cursor.rowcount:
                await audit_write(conn, actor=actor, action="runs.resume", object_="runs")
        return bool(cursor.rowcount)

    async def refuse_while_paused(self) -> None:
        """Raises Paused. For new work that is no run, such as documents to embed."""
        async with self._pool.connection() as conn:
            await paused_refuse(await paused_ask(conn))


async def paused_ask(conn: Connection) -> AsyncCursor[DictRow]:
    """For `paused_refuse`. Asked in the transaction that stores a run: what was being stored as the pause came,
    finishes."""
    return await conn.execute("SELECT reason, hint, paused_at FROM run_pause")


async def paused_refuse(asked: AsyncCursor[DictRow]) -> None:
    """Raises Paused."""
    if found := await _answer(asked):
        raise Paused(found.reason, hint=found.hint)


async def _read(conn: Connection) -> Pause | None:
    return await _answer(await paused_ask(conn))


async def _answer(asked: AsyncCursor[DictRow]) -> Pause | None:
    row = await asked.fetchone()
    return None if row is None else Pause(row["reason"], row["hint"], row["paused_at"])
