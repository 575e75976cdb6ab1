"""LangGraph's Postgres saver with rows that are sealed at their place, written under the run's fence."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg.rows import DictRow

from tenant_runtime.crashpoints import crash_point
from tenant_runtime.database import Pool
from tenant_runtime.engine.serde.delta import delta_history
from tenant_runtime.engine.serde.envelope import (
    EMPTY,
    Envelope,
    ValueCodec,
    blob_place,
    checkpoint_place,
    envelope_open,
    envelope_seal,
    is_sealed,
    write_place,
)
from tenant_runtime.engine.serde.gate import SealGate
from tenant_runtime.engine.serde.rows import Blob, StateRows, Write
from tenant_runtime.engine.serde.sealing import Sealer, SealRefused
from tenant_runtime.engine.writing import RunWriter
from tenant_runtime.errors import StateRefused

log = logging.getLogger(__name__)

#: Told of each row that was refused: (thread, where, reason).
Refused = Callable[[str, str, str], Awaitable[None]]
_INLINE: Final = (str, int, float, bool)


class SealedSaver(AsyncPostgresSaver):
    """`gate` says whether rows are sealed already and whether plain ones may still be read."""

    serde: JsonPlusSerializer

    def __init__(
        self,
        pool: Pool,
        *,
        serde: JsonPlusSerializer,
        sealer: Sealer | None,
        gate: SealGate,
        refused: Refused,
    ) -> None:
        super().__init__(pool, serde=serde)
        self.pool, self.gate, self.refused = pool, gate, refused
        self.writer = RunWriter(pool)
        self.rows = StateRows(self.writer)
        self.codec = ValueCodec(sealer, gate.plain_readable)

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:  # fmt: skip
        crash_point("runtime.checkpoint.before")
        place = config["configurable"]
        thread_id, ns, parent = place["thread_id"], place["checkpoint_ns"], place.get("checkpoint_id")
        values = checkpoint["channel_values"]
        inline = {k: v for k, v in values.items() if v is None or type(v) in _INLINE}
        blobs = {k: v for k, v in values.items() if k not in inline}
        markers = [k for k, v in blobs.items() if isinstance(v, _DeltaSnapshot)]
        kept = get_serializable_checkpoint_metadata(config, metadata)
        sealing = self.gate.sealing
        if sealing and self.codec.sealer is not None:
            whole = Envelope(
                {**checkpoint, "channel_values": inline},
                dict(kept),
                parent,
                tuple(sorted(k for k in blobs if k in checkpoint["channel_versions"])),
            )
            own = checkpoint_place(thread_id, ns, checkpoint["id"])
            column = envelope_seal(self.codec.sealer, whole, own, markers=markers)
        else:
            column = {**checkpoint, "channel_values": {**inline, **dict.fromkeys(markers, True)}}
        stored = [
            Blob(k, str(v), *self.codec.dump(self.serde, blobs[k], blob_place(thread_id, ns, k, v), sealing=sealing))
            for k, v in new_versions.items()
            if k in blobs
        ]  # fmt: skip
        await self.rows.checkpoint(
            {
                "thread": thread_id, "ns": ns, "id": checkpoint["id"], "parent": parent,
                "checkpoint": column, "metadata": dict(kept),
            },
            stored,
            finished=metadata.get("source") == "loop",
        )  # fmt: skip
        return {
            "configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}
        }

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        place = config["configurable"]
        thread_id, ns, checkpoint_id = place["thread_id"], place["checkpoint_ns"], place["checkpoint_id"]
        stored = []
        for position, (channel, value) in enumerate(writes):
            idx = WRITES_IDX_MAP.get(channel, position)
            own = write_place(thread_id, ns, checkpoint_id, task_id, task_path, idx, channel)
            stored.append(
                Write(
                    task_id,
                    task_path,
                    idx,
                    channel,
                    *self.codec.dump(self.serde, value, own, sealing=self.gate.sealing),
                )
            )
        if stored:
            fixed = all(channel in WRITES_IDX_MAP for channel, _ in writes)
            await self.rows.writes(thread_id, ns, checkpoint_id, stored, replace=fixed)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        async with self._audited(config):
            return await super().aget_tuple(config)

    async def alist(
        self, config: RunnableConfig | None, *, filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None, limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:  # fmt: skip
        async with self._audited(config):
            async for found in super().alist(config, filter=filter, before=before, limit=limit):
                yield found

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        checkpoint_id = get_checkpoint_id(config)
        if checkpoint_id is None and (newest := await self.aget_tuple(config)) is not None:
            checkpoint_id = get_checkpoint_id(newest.config)
        if not channels or checkpoint_id is None:
            return {channel: {"writes": []} for channel in channels}
        place = config["configurable"]
        async with self._audited(config), self.pool.connection() as conn:
            return await delta_history(
                conn, self.codec, self.serde, thread_id=place["thread_id"], ns=place.get("checkpoint_ns", ""),
                checkpoint_id=checkpoint_id, channels=list(channels),
            )  # fmt: skip

    @asynccontextmanager
    async def _audited(self, config: RunnableConfig | None) -> AsyncIterator[None]:
        """Turns a refused row into an audit entry and the one error callers see."""
        try:
            yield
        except SealRefused as refused:
            place = (config or {}).get("configurable", {})
            thread_id, where = (
                str(place.get("thread_id")),
                str(place.get("checkpoint_id") or "newest checkpoint"),
            )
            log.error("stored state refused", extra={"thread_id": thread_id, "reason": refused.reason})
            await self.refused(thread_id, where, refused.reason)
            raise StateRefused(
                f"the state of thread {thread_id} holds a row that this runtime did not write there "
                f"({refused.reason}); nothing of it was used. Restore the thread from a backup, or remove it"
            ) from refused

    async def _load_checkpoint_tuple(self, value: DictRow) -> CheckpointTuple:
        thread_id, ns, id_ = value["thread_id"], value["checkpoint_ns"], value["checkpoint_id"]
        column, sealer = value["checkpoint"], self.codec.sealer
        blobs = {
            bytes(channel).decode(): (bytes(type_).decode(), bytes(blob or b""))
            for channel, type_, blob in value["channel_values"] or []
        }
        if is_sealed(column) or not self.gate.plain_readable():
            if sealer is None:
                raise SealRefused("unknown_key")
            found = envelope_open(sealer, column, checkpoint_place(thread_id, ns, id_))
            if missing := [name for name in found.blobs if blobs.get(name, (EMPTY,))[0] == EMPTY]:
                raise SealRefused(f"incomplete: {', '.join(missing)[:80]}")
            wanted: Sequence[str] = found.blobs
        else:
            found = Envelope(column, value["metadata"], value["parent_checkpoint_id"], ())
            wanted = [name for name, (type_, _) in blobs.items() if type_ != EMPTY]
        versions = found.checkpoint["channel_versions"]
        loaded = {
            name: self.codec.load(
                self.serde, *blobs[name], blob_place(thread_id, ns, name, versions.get(name))
            )
            for name in wanted
        }
        checkpoint: Any = {
            **found.checkpoint,
            "channel_values": {**(found.checkpoint.get("channel_values") or {}), **loaded},
        }
        return CheckpointTuple(
            _config(thread_id, ns, id_), checkpoint, found.metadata,  # type: ignore[arg-type]
            _config(thread_id, ns, found.parent) if found.parent else None,
            self._writes_of(value["pending_writes"], thread_id, ns, id_),
        )  # fmt: skip

    def _writes_of(self, rows: Any, thread_id: str, ns: str, id_: str) -> list[tuple[str, str, Any]]:
        decoded = []
        for task, channel, type_, blob, path, idx in rows or []:
            names = (bytes(task).decode(), bytes(path).decode(), int(bytes(idx)), bytes(channel).decode())
            decoded.append((names, bytes(type_).decode(), bytes(blob)))
        decoded.sort(key=lambda row: writes_sort_key(row[0][1], row[0][0], row[0][2]))
        return [
            (task, channel, self.codec.load(
                self.serde, type_, blob, write_place(thread_id, ns, id_, task, path, idx, channel)
            ))
            for (task, path, idx, channel), type_, blob in decoded
        ]  # fmt: skip

    def _migrate_pending_sends(self, *_: Any) -> None:
        """Checkpoints of a format this runtime never wrote; only a forged row says that it is one."""
        raise SealRefused("malformed")


def _config(thread_id: str, ns: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ns, "checkpoint_id": checkpoint_id}}
