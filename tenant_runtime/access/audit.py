"""The audit log: what was done and who did it. Written in the transaction of what it reports."""

from typing import Any

from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection, Pool


async def audit_write(conn: Connection, *, actor: str, action: str, object_: str, **detail: object) -> None:
    await conn.execute(
        "INSERT INTO audit_log (actor, action, object, detail) VALUES (%s, %s, %s, %s)",
        [actor, action, object_, Jsonb(detail)],
    )


async def audit_read(pool: Pool, *, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """Rows with a number below `before`, newest first."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "SELECT seq, at, actor, action, object, detail FROM audit_log "
            "WHERE %(b)s::bigint IS NULL OR seq < %(b)s ORDER BY seq DESC LIMIT %(l)s",
            {"b": before, "l": limit},
        )
        return await cursor.fetchall()
