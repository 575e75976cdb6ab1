"""Whom a task of A2A tells when one of its turns is over, and what is still to be told."""

import json
import uuid
from dataclasses import dataclass
from typing import Any, Final

from tenant_runtime.database import Connection, Pool
from tenant_runtime.engine.serde.sealing import MARK, Place, Sealer
from tenant_runtime.engine.states import TERMINAL
from tenant_runtime.errors import Invalid, NotFound

Row = dict[str, Any]
#: A task has a handful of receivers, not a list of everybody.
MOST: Final = 10
_PLAIN: Final = "json"
_TELL: Final = """
INSERT INTO a2a_push_outbox (id, run_id, task_id, config_id, url)
SELECT gen_random_uuid(), %(run)s, task_id, config_id, url FROM a2a_push_configs WHERE task_id = %(task)s
    AND %(thread)s = (SELECT thread_id FROM runs WHERE run_id = %(task)s)
ON CONFLICT (run_id, config_id) DO NOTHING"""


@dataclass(frozen=True)
class PushConfig:
    """A receiver. `token` and `credentials` open its door."""

    id: str
    url: str
    token: str = ""
    scheme: str = ""
    credentials: str = ""


def task_of(run: Row) -> uuid.UUID | None:
    """The task a run says it is a turn of: its own, or the one it answers; None when it did not come by A2A."""
    a2a = run["metadata"].get("a2a")
    if not isinstance(a2a, dict):
        return None
    try:
        return uuid.UUID(str(a2a.get("task") or run["run_id"]))
    except ValueError:
        return None  # metadata that somebody else wrote


async def pushes_write(conn: Connection, run: Row) -> None:
    """For the transaction that ends a run."""
    if (task_id := task_of(run)) is not None:
        await conn.execute(_TELL, {"run": run["run_id"], "task": task_id, "thread": run["thread_id"]})


class PushConfigs:
    """Rows of receivers. Who may see a task is decided before."""

    def __init__(self, pool: Pool, sealer: Sealer | None) -> None:
        self._pool, self._sealer = pool, sealer

    async def set(self, task_id: uuid.UUID, config: PushConfig) -> None:
        """Adds it to the task, or takes the place of the one of that id. A turn that was over already is told at once.
        Raises Invalid for one too many, NotFound when the task is gone."""
        opening = {"token": config.token, "scheme": config.scheme, "credentials": config.credentials}
        data, place = json.dumps(opening).encode(), _place(task_id, config.id)
        type_, stored = self._sealer.seal(_PLAIN, data, place) if self._sealer else (_PLAIN, data)
        async with self._pool.connection() as conn, conn.transaction():
            # The end of a run updates its row first: it has seen this receiver, or has ended before and is told here.
            cursor = await conn.execute(
                "SELECT run_id, thread_id, status, metadata FROM runs WHERE thread_id = "
                "(SELECT thread_id FROM runs WHERE run_id = %(task)s) AND (run_id = %(task)s "
                "OR metadata->'a2a'->>'task' = %(text)s) ORDER BY seq FOR SHARE",
                {"task": task_id, "text": str(task_id)},
            )
            runs = await cursor.fetchall()
            if not runs:
                raise NotFound("no such task", code="task_not_found")
            await conn.execute(
                "INSERT INTO a2a_push_configs (task_id, config_id, url, opening_type, opening) "
                "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (task_id, config_id) DO UPDATE SET url = EXCLUDED.url, "
                "opening_type = EXCLUDED.opening_type, opening = EXCLUDED.opening",
                [task_id, config.id, config.url, type_, stored],
            )
            cursor = await conn.execute(
                "SELECT count(*) AS n FROM a2a_push_configs WHERE task_id = %s", [task_id]
            )
            row = await cursor.fetchone()
            if row is not None and row["n"] > MOST:
                raise Invalid(f"a task tells {MOST} receivers at most")
            if runs[-1]["status"] in TERMINAL:
                await pushes_write(conn, runs[-1])

    async def of_task(self, task_id: uuid.UUID, config_id: str | None = None) -> list[PushConfig]:
        """In the order they were made. Raises SealRefused for a row that was not written here."""
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT * FROM a2a_push_configs WHERE task_id = %(t)s AND (%(c)s::text IS NULL OR config_id = %(c)s) "
                "ORDER BY created_at, config_id",
                {"t": task_id, "c": config_id},
            )
            return [self._read(row) for row in await cursor.fetchall()]

    async def remove(self, task_id: uuid.UUID, config_id: str) -> None:
        """It, and what was still to be told to it."""
        async with self._pool.connection() as conn, conn.transaction():
            for table in ("a2a_push_configs", "a2a_push_outbox"):
                await conn.execute(
                    f"DELETE FROM {table} WHERE task_id = %s AND config_id = %s",  # noqa: S608 - a constant
                    [task_id, config_id],
                )

    def _read(self, row: Row) -> PushConfig:
        data = bytes(row["opening"])
        if self._sealer is not None and row["opening_type"].startswith(MARK):
            _, data = self._sealer.open(row["opening_type"], data, _place(row["task_id"], row["config_id"]))
        return PushConfig(row["config_id"], row["url"], **json.loads(data))


def _place(task_id: uuid.UUID, config_id: str) -> Place:
    return ("a2a-push", str(task_id), config_id)
