"""What each call of a run took: when, how long and how many tokens, and nothing of what was said."""

import uuid
from typing import Any

from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection
from tenant_runtime.ledger.rows import Step
from tenant_runtime.ledger.states import StepState

Row = dict[str, Any]


async def call_write(
    conn: Connection, *, run_id: uuid.UUID, step: Step, place: str, state: StepState, usage: Row, duration_ms: int
) -> None:  # fmt: skip
    """In the transaction that settles the step, and as often as it: its second try after a lost answer is no other."""
    await conn.execute(
        "INSERT INTO run_calls (run_id, step_key, tries, attempt, place, kind, name, state, usage, duration_ms) "
        "SELECT run_id, %s, %s, attempt, %s, %s, %s, %s, %s, %s FROM runs WHERE run_id = %s ON CONFLICT DO NOTHING",
        [
            step.key, step.tries, place, step.kind, step.name, state, Jsonb(usage), duration_ms, run_id,
        ],
    )  # fmt: skip


async def calls_of(conn: Connection, run_id: uuid.UUID) -> list[Row]:
    """The run's calls in their order; last those without an outcome yet, which the ledger still holds."""
    cursor = await conn.execute(
        "SELECT * FROM (SELECT attempt, place, kind, name, state, tries, usage, duration_ms, "
        "ended_at - make_interval(secs => duration_ms / 1000.0) AS begun_at, ended_at "
        "FROM run_calls WHERE run_id = %(r)s "
        "UNION ALL SELECT NULL, NULL, kind, name, state, tries, NULL, NULL, created_at, NULL FROM run_steps "
        "WHERE run_id = %(r)s AND state IN ('intent', 'unknown')) AS calls ORDER BY ended_at NULLS LAST, begun_at",
        {"r": run_id},
    )
    return await cursor.fetchall()
