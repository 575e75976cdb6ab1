"""What the saver writes, each time all of it or nothing: under the run's fence, by engine/writing.py.

What a step's tasks wrote waits a moment for the checkpoint that follows, which nearly always comes at once, and is
stored with it.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tenant_runtime.engine.fence import Fence, fence_current
from tenant_runtime.engine.writing import RunWriter, outcome_tell

Row = Mapping[str, Any]
Rows = Mapping[str, Sequence[Row]]

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
_Of = tuple[Fence | None, str, str, str | None]


@dataclass
class _Gathered:
    """Writes that wait. `done` is told what became of them; several tasks may wait for it."""

    done: asyncio.Future[None]
    timer: asyncio.TimerHandle | None = None
    #: The first of a place stays, or the last one takes it; each (task, place) once, as one statement wants it.
    kept: dict[tuple[str, int], Write] = field(default_factory=dict)
    replaced: dict[tuple[str, int], Write] = field(default_factory=dict)

    def rows(self, of: Row) -> Rows:
        """By kind, each with its place in the thread."""
        return {
            kind: [{**of, **write._asdict()} for write in writes.values()]
            for kind, writes in (("kept", self.kept), ("replaced", self.replaced))
        }


class StateRows:
    """Where the checkpoints of this process are written."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self._gathered: dict[_Of, _Gathered] = {}
        self._flushing: set[asyncio.Task[None]] = set()

    async def checkpoint(self, row: Row, blobs: Sequence[Blob], *, finished: bool) -> None:
        """`row` is thread, ns, id, parent, checkpoint and metadata. With it go the writes to its parent that wait, and
        the ledger's steps of the parent's tasks leave; `finished` says that these came to their end. Raises
        LeaseLost."""
        of = {"thread": row["thread"], "ns": row["ns"]}
        rows: Rows = {
            "checkpoints": [{**row, "finished": finished}],
            "blobs": [{**of, **blob._asdict()} for blob in blobs],
        }
        waiting = self._take((fence_current(), row["thread"], row["ns"], row["parent"]))
        if waiting is None:
            await self._writer.write(fence_current(), rows)
        else:
            await self._settle(waiting, rows, {**of, "id": row["parent"]})

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
                await self._settle(waiting, {}, {"thread": thread_id, "ns": ns, "id": checkpoint_id})

    async def _settle(self, waiting: _Gathered, rows: Rows, of: Row) -> None:
        try:
            await self._writer.write(fence_current(), {**rows, **waiting.rows(of)})
        except BaseException as error:
            outcome_tell(waiting.done, error)
            raise
        outcome_tell(waiting.done, None)
