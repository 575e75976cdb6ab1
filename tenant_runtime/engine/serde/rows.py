"""What the saver writes, each time in one statement: under the run's fence (engine/fence.py), or not at all.

A run writes more checkpoints than anything else, and each message to the database and back takes longer than what it
asks for. So what a step's tasks wrote waits a moment for the checkpoint that follows, which nearly always comes at
once, and is one statement with it. The tables are LangGraph's; a retried write finds its own rows and changes nothing.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from tenant_runtime.database import Pool
from tenant_runtime.engine.fence import HELD, UNFENCED, Fence, fence_current
from tenant_runtime.ledger.rows import steps_taken_in

_BLOBS: Final = """
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(ns)s, blob.* FROM held,
        unnest(%(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]) AS blob
    ON CONFLICT DO NOTHING"""
_CHECKPOINT: Final = """
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(ns)s, %(id)s, %(parent)s, %(checkpoint)s, %(metadata)s FROM held
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
    DO UPDATE SET checkpoint = EXCLUDED.checkpoint, metadata = EXCLUDED.metadata"""
_WRITES: Final = """
    INSERT INTO checkpoint_writes
        (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread)s, %(ns)s, %(of)s, written.* FROM held, unnest(
        %({name}_tasks)s::text[], %({name}_paths)s::text[], %({name}_places)s::int[], %({name}_channels)s::text[],
        %({name}_types)s::text[], %({name}_blobs)s::bytea[]) AS written
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) """
_KEPT: Final = _WRITES.replace("{name}", "kept") + "DO NOTHING"
_REPLACED: Final = (
    _WRITES.replace("{name}", "replaced")
    + "DO UPDATE SET channel = EXCLUDED.channel, type = EXCLUDED.type, blob = EXCLUDED.blob"
)
#: How long writes wait for the checkpoint that follows them.
GATHER_S: Final = 0.005


class Blob(NamedTuple):
    channel: str
    version: str
    type: str
    blob: bytes | None


class Write(NamedTuple):
    """`place` is its number among the writes of its task, or the fixed one of a channel like an interrupt's."""

    task: str
    path: str
    place: int
    channel: str
    type: str
    blob: bytes


#: Whose writes belong to which checkpoint: (fence, thread, namespace, checkpoint).
_Of = tuple[Fence | None, str, str, str]


@dataclass
class _Gathered:
    """Writes that wait. `done` is told what became of them; several tasks may wait for it."""

    done: asyncio.Future[None]
    timer: asyncio.TimerHandle | None = None
    #: The first of a place stays, or the last one takes it; each (task, place) once, as one statement wants it.
    kept: dict[tuple[str, int], Write] = field(default_factory=dict)
    replaced: dict[tuple[str, int], Write] = field(default_factory=dict)

    def columns(self) -> tuple[list[str], dict[str, Any]]:
        """The parts of a statement that write them, and their values."""
        parts, values = [], dict[str, Any]()
        for name, part, writes in (("kept", _KEPT, self.kept), ("replaced", _REPLACED, self.replaced)):
            if writes:
                parts.append(part)
                for column, cells in zip(Write._fields, zip(*writes.values(), strict=True), strict=True):
                    values[f"{name}_{column}s"] = list(cells)
        return parts, values

    def settle(self, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        else:
            self.done.set_exception(error)
            # Whoever waited may have gone.
            self.done.exception()


class StateRows:
    """Where the checkpoints of this process are written."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._gathered: dict[_Of, _Gathered] = {}
        self._flushing: set[asyncio.Task[None]] = set()

    async def checkpoint(self, values: Mapping[str, Any], blobs: Sequence[Blob], *, finished: bool) -> None:
        """`values` are thread, ns, id, parent, checkpoint and metadata. With it go the writes to its parent that
        wait, and the ledger's steps of the parent's tasks leave; `finished` says that these came to their end.
        Raises LeaseLost."""
        parts, values = [_CHECKPOINT], {**values, "of": values["parent"]}
        if blobs:
            parts.append(_BLOBS)
            for column, cells in zip(Blob._fields, zip(*blobs, strict=True), strict=True):
                values[f"{column}s"] = list(cells)
        if (parent := values["parent"]) is None:
            await self._carry_out(parts, values)
            return
        parts.append(steps_taken_in(finished=finished))
        waiting = self._take((fence_current(), values["thread"], values["ns"], parent))
        if waiting is None:
            await self._carry_out(parts, values)
        else:
            await self._settle(waiting, parts, values)

    async def writes(
        self, thread_id: str, ns: str, checkpoint_id: str, writes: Sequence[Write], *, replace: bool
    ) -> None:
        """Returns once they are stored. Those whose place is taken are left out, or with `replace` take it. Raises
        LeaseLost."""
        of = (fence_current(), thread_id, ns, checkpoint_id)
        if (waiting := self._gathered.get(of)) is None:
            loop = asyncio.get_running_loop()
            waiting = self._gathered[of] = _Gathered(loop.create_future())
            waiting.timer = loop.call_later(GATHER_S, self._flush_soon, of)
        for write in writes:
            if replace:
                waiting.replaced[write.task, write.place] = write
            else:
                waiting.kept.setdefault((write.task, write.place), write)
        await asyncio.shield(waiting.done)

    def _take(self, of: _Of) -> _Gathered | None:
        waiting = self._gathered.pop(of, None)
        if waiting is not None and waiting.timer is not None:
            waiting.timer.cancel()
        return waiting

    def _flush_soon(self, of: _Of) -> None:
        task = asyncio.create_task(self._flush(of))
        self._flushing.add(task)
        task.add_done_callback(self._flushing.discard)

    async def _flush(self, of: _Of) -> None:
        if (waiting := self._take(of)) is not None:
            _, thread_id, ns, checkpoint_id = of
            with suppress(Exception):  # it is told to those who wait
                await self._settle(waiting, [], {"thread": thread_id, "ns": ns, "of": checkpoint_id})

    async def _settle(self, waiting: _Gathered, parts: list[str], values: Mapping[str, Any]) -> None:
        more, columns = waiting.columns()
        try:
            await self._carry_out([*parts, *more], {**values, **columns})
        except BaseException as error:
            waiting.settle(error)
            raise
        waiting.settle(None)

    async def _carry_out(self, parts: Sequence[str], values: Mapping[str, Any]) -> None:
        fence = fence_current()
        statement = _statement(tuple(parts), fenced=fence is not None)
        async with self._pool.connection() as conn:
            cursor = await conn.execute(statement, {**values, **(fence.values() if fence else {})})
            if await cursor.fetchone() is None and fence is not None:
                raise fence.lost()


@cache
def _statement(parts: tuple[str, ...], *, fenced: bool) -> str:
    written = "".join(f",\npart_{number} AS ({part})" for number, part in enumerate(parts))
    return f"WITH {HELD if fenced else UNFENCED}{written}\nSELECT 1 FROM held"
