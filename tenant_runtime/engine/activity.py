"""What everybody's runs did and took, without what was said in them."""

import json
import uuid
from typing import Any, Final

from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import NotFound
from tenant_runtime.ledger.calls import calls_of

Row = dict[str, Any]
#: Attempts told of one run; one that sleeps and wakes for months begins many.
_MOST_ATTEMPTS: Final = 100
_RUNS: Final = """
SELECT r.seq, r.run_id, r.thread_id, r.agent, r.assistant_id, r.principal AS "user", r.status,
    r.cancel_action IS NOT NULL AS canceled, r.attempt, r.created_at, r.started_at, r.ended_at, r.wake_at,
    r.error_code, r.model_calls, r.tool_calls, taken.input_tokens, taken.output_tokens,
    r.spent_s + CASE WHEN r.status = 'running' THEN coalesce(extract(epoch FROM now() - r.resumed_at), 0) ELSE 0 END
        AS executed_s,
    r.status = 'success' AND t.status = 'interrupted' AND NOT EXISTS (
        SELECT 1 FROM runs newer WHERE newer.thread_id = r.thread_id AND newer.seq > r.seq) AS waits_for_answer
FROM runs r JOIN threads t USING (thread_id)
LEFT JOIN LATERAL (
    SELECT sum((usage->>'input')::bigint + (usage->>'cached_input')::bigint + (usage->>'cache_write')::bigint)::bigint
        AS input_tokens,
        sum((usage->>'output')::bigint + (usage->>'reasoning')::bigint)::bigint AS output_tokens
    FROM run_calls WHERE run_id = r.run_id AND kind <> 'tool' AND state = 'done') AS taken ON true
"""


async def runs_newest(
    pool: Pool, *, status: str | None, agent: str | None, before: int | None, limit: int
) -> list[Row]:
    """Newest first; `before` is the `seq` of the last one seen."""
    async with pool.connection() as conn:
        cursor = await conn.execute(
            f"{_RUNS} WHERE (%(s)s::text IS NULL OR r.status = %(s)s) AND (%(a)s::text IS NULL OR r.agent = %(a)s) "
            "AND (%(b)s::bigint IS NULL OR r.seq < %(b)s) ORDER BY r.seq DESC LIMIT %(l)s",
            {"s": status, "a": agent, "b": before, "l": limit},
        )
        return await cursor.fetchall()


async def run_course(pool: Pool, run_id: uuid.UUID) -> Row:
    """The run, its calls in their order, and when each of its attempts began."""
    async with pool.connection() as conn:
        cursor = await conn.execute(f"{_RUNS} WHERE r.run_id = %s", [run_id])
        row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"no run {run_id}", code="run_not_found")
        return row | {"calls": await calls_of(conn, run_id), "attempts": await _attempts(conn, run_id)}


async def _attempts(conn: Connection, run_id: uuid.UUID) -> list[Row]:
    """From the events every attempt begins with; they go with the run's log, a day after its end by default."""
    cursor = await conn.execute(
        "SELECT data, created_at FROM run_events WHERE run_id = %s AND event = 'metadata' ORDER BY seq LIMIT %s",
        [run_id, _MOST_ATTEMPTS],
    )
    return [
        {"attempt": json.loads(row["data"]).get("attempt", 1), "begun_at": row["created_at"]}
        for row in await cursor.fetchall()
    ]
