"""What executing runs write about themselves, many runs in one statement and one commit.

A process writes one group at a time. What comes meanwhile waits for it and is the next group: alone, a write goes out
at once, and the busier the process is, the more runs share the way to the database and the sync of its disk. Each
waits until its own rows are stored, and is refused by its own fence (engine/fence.py).
"""

import asyncio
import json
import logging
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

import orjson
from psycopg import InterfaceError, OperationalError

from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import CHANNEL
from tenant_runtime.engine.fence import Fence
from tenant_runtime.ledger.rows import STEPS_TAKEN_IN

log = logging.getLogger(__name__)

#: The columns of each kind of row, beside those of the fence it is written under. An event's `message` is for the bus.
_COLUMNS: Final[dict[str, str]] = {
    "checkpoints": "thread text, ns text, id text, parent text, checkpoint jsonb, metadata jsonb, finished boolean",
    "blobs": "thread text, ns text, channel text, version text, type text, blob bytea",
    "kept": "thread text, ns text, id text, task text, path text, place int, channel text, type text, blob bytea",
    "events": "seq int, event text, data text, message text",
}
_COLUMNS["replaced"] = _COLUMNS["kept"]
_WRITES: Final = """
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT thread, ns, id, task, path, place, channel, type, blob FROM {name}
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) """
#: The tables are LangGraph's, but for the events; a retried write finds its own rows and changes nothing.
_STORED: Final = {
    "checkpoints": """
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT thread, ns, id, parent, checkpoint, metadata FROM checkpoints_given
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata""",
    "blobs": """
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT thread, ns, channel, version, type, blob FROM blobs_given ON CONFLICT DO NOTHING""",
    "kept": _WRITES.format(name="kept_given") + "DO NOTHING",
    "replaced": _WRITES.format(name="replaced_given")
    + "DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob",
    # No second copy of a batch whose answer was lost: only the holder of the lease numbers events.
    "events": """
    INSERT INTO run_events (run_id, seq, event, data) SELECT run, seq, event, data FROM events_given
    ON CONFLICT DO NOTHING""",
}
_HELD: Final = """SELECT r.run_id AS run, r.lease_token AS token FROM runs r
    JOIN unnest(%(runs)s::uuid[], %(tokens)s::bigint[]) AS f (run_id, token) USING (run_id)
    WHERE r.status = 'running' AND r.lease_token = f.token FOR SHARE OF r"""
#: A request writes for itself, without a run.
_NOBODY: Final = (UUID(int=0), 0)
#: Bounds what one statement carries: rows of more bytes go by themselves, nobody waits for them.
_MOST, _MOST_BYTES = 64, 64 * 1024
#: The database is away, for all of a group. Any other error may be one entry's fault.
_AWAY: Final = (OperationalError, InterfaceError, OSError)
Row = Mapping[str, Any]


@dataclass(eq=False)
class _Entry:
    """What one run writes at once: rows as JSON, by kind. `done` is told what became of them."""

    fence: Fence | None
    rows: Mapping[str, Sequence[bytes]]
    done: asyncio.Future[None]

    @property
    def key(self) -> tuple[UUID, int]:
        return (self.fence.run_id, self.fence.token) if self.fence else _NOBODY

    @property
    def groups(self) -> bool:
        size = sum(len(row) for rows in self.rows.values() for row in rows)
        return self.fence is not None and size <= _MOST_BYTES

    def answer(self, error: BaseException | None = None) -> None:
        outcome_tell(self.done, error)


def outcome_tell(done: asyncio.Future[None], error: BaseException | None) -> None:
    """To whoever waits for a write what became of it; once."""
    if done.done():
        return
    if error is None:
        done.set_result(None)
    elif isinstance(error, asyncio.CancelledError):
        done.cancel()
    else:
        done.set_exception(error)
        # Whoever waited may have gone.
        done.exception()


class RunWriter:
    """One a process. `pool` should prepare its statements: there are few of them, and they are carried out all day."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._waiting: list[_Entry] = []
        self._writing = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, fence: Fence | None, rows: Mapping[str, Iterable[Row]]) -> None:
        """Returns once all of it is stored, raises when none is: LeaseLost when the fence does not hold any more."""
        key = (fence.run_id, fence.token) if fence else _NOBODY
        encoded = {kind: [_encode(key, row) for row in given] for kind, given in rows.items()}
        entry = _Entry(fence, encoded, asyncio.get_running_loop().create_future())
        if not entry.groups:
            self._begin(self._write_alone(entry))
        else:
            self._waiting.append(entry)
            if not self._writing:
                self._writing = True
                self._begin(self._write_waiting())
        try:
            await asyncio.shield(entry.done)
        except asyncio.CancelledError:
            if entry in self._waiting:
                self._waiting.remove(entry)
            elif not entry.done.done():
                # Under way. What comes next for its run, such as taking back what it wrote, must come after it.
                await asyncio.wait([entry.done])
            raise

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        # In a context of its own: it outlives the run that happened to come first.
        task = asyncio.create_task(work, name="run writer", context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_waiting(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
                await self._write_group(group)
        finally:
            self._writing = False

    async def _write_group(self, group: list[_Entry]) -> None:
        held: set[tuple[UUID, int]] = set()
        try:
            held = await self._carry_out(group, waits=False)
        except _AWAY as error:
            for entry in group:
                entry.answer(error)
        except Exception as error:
            # Without its words: they may quote a row.
            log.warning(
                "runs not written together, each is by itself now", extra={"error": type(error).__name__}
            )
        except BaseException as error:
            for entry in group:
                entry.answer(error)  # this process ends; whoever waits must not wait for ever
            raise
        for entry in group:
            if entry.key in held:
                entry.answer()
            elif not entry.done.done():
                self._begin(self._write_alone(entry))

    async def _write_alone(self, entry: _Entry) -> None:
        try:
            held = await self._carry_out([entry], waits=True)
        except BaseException as error:
            entry.answer(error)
            if not isinstance(error, Exception):
                raise
        else:
            entry.answer(None if held or entry.fence is None else entry.fence.lost())

    async def _carry_out(self, group: Sequence[_Entry], *, waits: bool) -> set[tuple[UUID, int]]:
        """One statement; the keys of those whose fence held, nothing else is written. Unless it `waits`, those are left
        out, too, whose run's row somebody holds: a group keeps rows locked itself, and must not wait for others."""
        kinds = tuple(kind for kind in _STORED if any(entry.rows.get(kind) for entry in group))
        values: dict[str, Any] = {"channel": CHANNEL}
        for kind in kinds:
            rows = b",".join(row for entry in group for row in entry.rows.get(kind, ()))
            values[kind] = f"[{rows.decode()}]"
        keys = {entry.key for entry in group}
        values["runs"], values["tokens"] = [run for run, _ in keys], [token for _, token in keys]
        fenced = group[0].fence is not None
        statement = _statement(kinds, fenced=fenced, waits=waits)
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, values)
            return {(row["run"], row["token"]) for row in await cursor.fetchall()}


def _encode(key: tuple[UUID, int], row: Row) -> bytes:
    return orjson.dumps({"run": key[0], "token": key[1], **{name: _cell(cell) for name, cell in row.items()}})


def _cell(cell: Any) -> Any:
    if isinstance(cell, bytes):
        return f"\\x{cell.hex()}"
    # The standard library's: orjson has no word for numbers beyond 64 bits.
    return orjson.Fragment(json.dumps(cell)) if isinstance(cell, dict) else cell


@cache
def _statement(kinds: tuple[str, ...], *, fenced: bool, waits: bool) -> str:
    nobody = f"SELECT '{_NOBODY[0]}'::uuid AS run, {_NOBODY[1]}::bigint AS token"
    held = _HELD + ("" if waits else " SKIP LOCKED") if fenced else nobody
    parts = [f"held AS ({held})"]
    for kind in kinds:
        rows = f"json_to_recordset(%({kind})s::json) AS g (run uuid, token bigint, {_COLUMNS[kind]})"
        given = f"SELECT g.* FROM held JOIN {rows} USING (run, token)"  # noqa: S608 - constants
        parts += [f"{kind}_given AS ({given})", f"{kind}_stored AS ({_STORED[kind]})"]
    if "checkpoints" in kinds:
        parts.append(f"steps_taken_in AS ({STEPS_TAKEN_IN})")
    answer = "SELECT run, token FROM held"
    if "events" in kinds:
        told = "count(pg_notify(%(channel)s, message)) FILTER (WHERE message IS NOT NULL)"
        answer = (
            f"SELECT run, token, {told} FROM held LEFT JOIN events_given USING (run, token) GROUP BY 1, 2"  # noqa: S608
        )
    return f"WITH {', '.join(parts)}\n{answer}"
