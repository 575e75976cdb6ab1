"""Rows of the ledger. Every move of a step is one guarded update; its row, or none, is the answer."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection
from tenant_runtime.errors import RuntimeFault
from tenant_runtime.ledger.places import StepPlace
from tenant_runtime.ledger.states import Call, StepKind, StepState


@dataclass(frozen=True)
class Step:
    """A row. `result` is as it lies in the database: sealed where the runtime seals."""

    key: str
    run_id: uuid.UUID
    root_task: str
    kind: StepKind
    name: str
    args_hash: bytes = field(repr=False)
    repeatable: bool
    idempotency_key: uuid.UUID
    state: StepState
    tries: int
    asks: int
    result_type: str | None
    result: bytes | None = field(repr=False)
    created_at: datetime | None
    root_checkpoint_id: str


def _step(row: DictRow) -> Step:
    return Step(
        key=row["step_key"], run_id=row["run_id"], root_task=row["root_task"], kind=row["kind"], name=row["name"],
        args_hash=bytes(row["args_hash"]), repeatable=row["repeatable"], idempotency_key=row["idempotency_key"],
        state=row["state"], tries=row["tries"], asks=row["asks"], result_type=row["result_type"],
        result=None if row["result"] is None else bytes(row["result"]), created_at=row["created_at"],
        root_checkpoint_id=row["root_checkpoint_id"],
    )  # fmt: skip


class StepMoved(RuntimeFault):
    """The row was not in the state its writer knew: somebody else writes for this run."""

    code, title = "step_moved", "A step of the run was changed by another writer"


async def steps_of(conn: Connection, thread_id: uuid.UUID) -> list[Step]:
    """What earlier attempts left: the steps of tasks whose checkpoint is still to come."""
    cursor = await conn.execute(
        "SELECT * FROM run_steps WHERE thread_id = %s ORDER BY created_at, step_key", [thread_id]
    )
    return [_step(row) for row in await cursor.fetchall()]


async def step_begin(
    conn: Connection, *, thread_id: uuid.UUID, run_id: uuid.UUID, key: str, place: StepPlace, call: Call,
    idempotency_key: uuid.UUID,
) -> Step:  # fmt: skip
    """A step nobody has begun. Doing it again, because the answer to the COMMIT was lost, changes nothing."""
    cursor = await conn.execute(
        "INSERT INTO run_steps (thread_id, step_key, run_id, root_task, root_checkpoint_id, checkpoint_ns, "
        "checkpoint_id, kind, name, args_hash, repeatable, idempotency_key, state) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'intent') "
        "ON CONFLICT (thread_id, step_key) DO UPDATE SET step_key = EXCLUDED.step_key "
        "WHERE run_steps.state = 'intent' AND run_steps.tries = 1 AND run_steps.run_id = EXCLUDED.run_id RETURNING *",
        [
            thread_id, key, run_id, place.root, place.root_checkpoint, place.checkpoint_ns, place.checkpoint_id,
            call.kind, call.name, call.args_hash, call.repeatable, idempotency_key,
        ],
    )  # fmt: skip
    if (row := await cursor.fetchone()) is None:
        raise StepMoved(key)
    return _step(row)


async def step_again(
    conn: Connection, thread_id: uuid.UUID, step: Step, *, run_id: uuid.UUID, idempotency_key: uuid.UUID,
    answered: bool = False,
) -> Step:  # fmt: skip
    """Back to intent for another call; `answered` counts the person's answer that allowed it."""
    cursor = await conn.execute(
        "UPDATE run_steps SET state = 'intent', tries = tries + 1, run_id = %s, idempotency_key = %s, result = NULL, "
        "result_type = NULL, usage = NULL, settled_at = NULL, asks = asks + %s "
        "WHERE thread_id = %s AND step_key = %s AND state <> 'done' AND tries = %s RETURNING *",
        [run_id, idempotency_key, int(answered), thread_id, step.key, step.tries],
    )
    if (row := await cursor.fetchone()) is None:
        # Done already, if the answer to the COMMIT was lost.
        cursor = await conn.execute(
            "SELECT * FROM run_steps WHERE thread_id = %s AND step_key = %s AND state = 'intent' AND tries = %s "
            "AND run_id = %s",
            [thread_id, step.key, step.tries + 1, run_id],
        )
        if (row := await cursor.fetchone()) is None:
            raise StepMoved(step.key)
    return _step(row)


async def step_forget(conn: Connection, thread_id: uuid.UUID, step: Step) -> None:
    """Removes a step whose call has stopped before it did anything."""
    await conn.execute(
        "DELETE FROM run_steps WHERE thread_id = %s AND step_key = %s AND state = 'intent' AND tries = %s",
        [thread_id, step.key, step.tries],
    )


async def step_settle(
    conn: Connection, thread_id: uuid.UUID, step: Step, *, state: StepState, result_type: str, result: bytes,
    usage: dict[str, Any] | None, answered: bool = False,
) -> bool:  # fmt: skip
    """To done or failed; False when it was settled before (the answer to an earlier COMMIT was lost)."""
    cursor = await conn.execute(
        "UPDATE run_steps SET state = %s, result_type = %s, result = %s, usage = %s, settled_at = now(), "
        "asks = asks + %s WHERE thread_id = %s AND step_key = %s AND state IN ('intent', 'unknown') AND tries = %s",
        [
            state, result_type, result, Jsonb(usage), int(answered), thread_id, step.key, step.tries,
        ],
    )  # fmt: skip
    return cursor.rowcount == 1


async def step_doubt(conn: Connection, thread_id: uuid.UUID, step: Step) -> bool:
    """To unknown; False when that is what it was."""
    cursor = await conn.execute(
        "UPDATE run_steps SET state = 'unknown' WHERE thread_id = %s AND step_key = %s AND state = 'intent' "
        "AND tries = %s",
        [thread_id, step.key, step.tries],
    )
    return cursor.rowcount == 1


async def step_unanswered(conn: Connection, thread_id: uuid.UUID, step: Step) -> None:
    """Counts an answer that was none: it has used up its interrupt all the same."""
    await conn.execute(
        "UPDATE run_steps SET asks = asks + 1 WHERE thread_id = %s AND step_key = %s AND asks = %s",
        [thread_id, step.key, step.asks],
    )


async def step_adopt(
    conn: Connection, thread_id: uuid.UUID, step: Step, *, key: str, place: StepPlace, call: Call, doubt: bool
) -> Step:
    """An earlier step becomes this one's. With `doubt` its own outcome no longer counts, and a person decides."""
    settled = "state = 'unknown', result = NULL, result_type = NULL, usage = NULL, settled_at = NULL, "
    cursor = await conn.execute(
        # Answers were given to the task that asked: another one begins to count anew.
        f"UPDATE run_steps SET {settled if doubt else ''}step_key = %s, "  # noqa: S608
        "asks = CASE WHEN root_task = %s THEN asks ELSE 0 END, root_task = %s, root_checkpoint_id = %s, "
        "checkpoint_ns = %s, checkpoint_id = %s, args_hash = %s WHERE thread_id = %s AND step_key = %s RETURNING *",
        [
            key, place.root, place.root, place.root_checkpoint, place.checkpoint_ns, place.checkpoint_id,
            call.args_hash, thread_id, step.key,
        ],
    )  # fmt: skip
    if (row := await cursor.fetchone()) is None:
        raise StepMoved(step.key)
    return _step(row)


#: Removes the steps of checkpoints' tasks: a part of the statement that writes the checkpoints which follow them, given
#: as `checkpoints_given`. `finished` says that the tasks came to their end. Else (new input, an edited state) what may
#: have taken effect without anybody knowing is kept, for the next call like it.
STEPS_TAKEN_IN: Final = """
    DELETE FROM run_steps s USING checkpoints_given g WHERE s.thread_id = g.thread::uuid AND (
        (s.checkpoint_ns = g.ns AND s.checkpoint_id = g.parent) OR (g.ns = '' AND s.root_checkpoint_id = g.parent))
    AND (g.finished OR s.repeatable OR s.state IN ('done', 'failed'))"""


def settled(step: Step, *, state: StepState, result_type: str, result: bytes) -> Step:
    """The step as `step_settle` has left it."""
    return replace(step, state=state, result_type=result_type, result=result)
