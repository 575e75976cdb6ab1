"""All rows that hold a thread's state, as a whole: sized, pruned, copied, given out and taken in."""

import base64
import hashlib
import json
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg.types.json import Jsonb

from tenant_runtime.access.audit import audit_write
from tenant_runtime.database import Connection, Pool
from tenant_runtime.engine.serde.envelope import (
    EMPTY,
    Envelope,
    blob_place,
    checkpoint_place,
    envelope_open,
    envelope_seal,
    is_sealed,
    write_place,
)
from tenant_runtime.engine.serde.pruning import held, kept_ids
from tenant_runtime.engine.serde.saver import SealedSaver
from tenant_runtime.engine.serde.sealing import SealRefused
from tenant_runtime.engine.serial import dumps
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import Conflict, Invalid, StateRefused

Row = dict[str, Any]
FORMAT: Final = "freehold-thread/1"
_SIGNED: Final = ("export",)
#: Tables with a thread's rows -> how a row is found by its thread. What is removed with a thread is in each of them.
TABLES: Final = {
    "threads": "thread_id = %(t)s::uuid",
    "runs": "thread_id = %(t)s::uuid",
    "run_events": "run_id IN (SELECT run_id FROM runs WHERE thread_id = %(t)s::uuid)",
    "run_calls": "run_id IN (SELECT run_id FROM runs WHERE thread_id = %(t)s::uuid)",
    "run_steps": "thread_id = %(t)s::uuid",
    "checkpoints": "thread_id = %(t)s",
    "checkpoint_blobs": "thread_id = %(t)s",
    "checkpoint_writes": "thread_id = %(t)s",
}
#: A run may write while its thread is read.
_ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
_ORPHAN_BLOBS: Final = """DELETE FROM checkpoint_blobs b WHERE b.thread_id = %s AND NOT EXISTS (
    SELECT 1 FROM checkpoints c WHERE c.thread_id = b.thread_id AND c.checkpoint_ns = b.checkpoint_ns
    AND c.checkpoint -> 'channel_versions' ->> b.channel = b.version)"""
_ORPHAN_WRITES: Final = """DELETE FROM checkpoint_writes w WHERE w.thread_id = %s AND NOT EXISTS (
    SELECT 1 FROM checkpoints c WHERE c.thread_id = w.thread_id AND c.checkpoint_ns = w.checkpoint_ns
    AND c.checkpoint_id = w.checkpoint_id)"""


async def orphans_remove(conn: Connection, thread_id: uuid.UUID) -> None:
    """Values and writes that no checkpoint of the thread refers to."""
    await conn.execute(_ORPHAN_BLOBS, [str(thread_id)])
    await conn.execute(_ORPHAN_WRITES, [str(thread_id)])


@dataclass(frozen=True)
class Whole:
    """Values of a checkpoint's channels as a graph has read them."""

    checkpoint_id: str
    values: Row


class ThreadData:
    """Works on threads nobody is running on; each method says what it does with one that is busy."""

    def __init__(self, pool: Pool, saver: SealedSaver) -> None:
        self._pool, self._saver = pool, saver

    async def size(self, thread_id: uuid.UUID) -> Row:
        """{"bytes", "rows", "tables": {name: {"rows", "bytes"}}}: the rows' own bytes, without indexes."""
        tables: Row = {}
        async with self._pool.connection() as conn:
            for name, where in TABLES.items():
                statement = f"SELECT count(*) AS n, coalesce(sum(pg_column_size(x.*)), 0) AS b FROM {name} x WHERE {where}"  # noqa: S608, E501
                row = await (await conn.execute(statement, {"t": str(thread_id)})).fetchone()
                assert row is not None
                tables[name] = {"rows": int(row["n"]), "bytes": int(row["b"])}
        return {
            "bytes": sum(each["bytes"] for each in tables.values()),
            "rows": sum(each["rows"] for each in tables.values()),
            "tables": tables,
        }

    async def prune(
        self, thread_id: uuid.UUID, *, owner: str | None, keep: int = 1, whole: Whole | None = None
    ) -> int:
        """Keeps the newest state of each namespace, with the ancestors it is rebuilt from; how many checkpoints went.

        `whole` gives values of delta channels, which are stored with their checkpoint, so that it needs no ancestors.
        Conflict while a run is active.
        """
        async with self._pool.connection() as conn, conn.transaction():
            await self._idle(conn, thread_id, owner)
            found = []
            for row in await self._checkpoints(conn, thread_id):
                envelope, markers = self._envelope(row)
                if whole is not None and (row["checkpoint_ns"], row["checkpoint_id"]) == (
                    "",
                    whole.checkpoint_id,
                ):
                    envelope, markers = await self._complete(conn, row, envelope, markers, whole.values)
                found.append(held(row["checkpoint_id"], row["checkpoint_ns"], envelope, frozenset(markers)))
            kept = kept_ids(found, keep=keep)
            gone = [each for each in found if (each.ns, each.id) not in kept]
            for each in gone:
                await conn.execute(
                    "DELETE FROM checkpoints WHERE thread_id = %s AND checkpoint_ns = %s AND checkpoint_id = %s",
                    [str(thread_id), each.ns, each.id],
                )
            await orphans_remove(conn, thread_id)
            await conn.execute("UPDATE threads SET pruned_at = now() WHERE thread_id = %s", [thread_id])
        return len(gone)

    async def _complete(
        self, conn: Connection, row: Row, envelope: Envelope, markers: list[str], values: Row
    ) -> tuple[Envelope, list[str]]:
        """The checkpoint with snapshots of what it leaves to its ancestors, and without a parent."""
        codec, key, ns = self._saver.codec, row["thread_id"], row["checkpoint_ns"]
        sealing = self._saver.gate.sealing
        left = set(envelope.metadata.get("counters_since_delta_snapshot") or {}) - set(envelope.blobs)
        added = sorted(name for name in left if name in values)
        for name in added:
            version = str(envelope.checkpoint["channel_versions"][name])
            place = blob_place(key, ns, name, version)
            stored = codec.dump(self._saver.serde, _DeltaSnapshot(values[name]), place, sealing=sealing)
            await conn.execute(self._saver.UPSERT_CHECKPOINT_BLOBS_SQL, (key, ns, name, version, *stored))
        markers = sorted({*markers, *added})
        parent = None if left == set(added) else envelope.parent
        whole = replace(envelope, blobs=tuple(sorted({*envelope.blobs, *added})), parent=parent)
        await self._put(conn, key, ns, row["checkpoint_id"], whole, markers)
        await conn.execute(
            "UPDATE checkpoints SET parent_checkpoint_id = %s WHERE thread_id = %s AND checkpoint_ns = %s "
            "AND checkpoint_id = %s",
            [parent, key, ns, row["checkpoint_id"]],
        )
        return whole, markers

    async def _put(
        self, conn: Connection, key: str, ns: str, id_: str, envelope: Envelope, markers: list[str]
    ) -> None:
        sealer = self._saver.codec.sealer
        values = {**envelope.checkpoint.get("channel_values", {}), **dict.fromkeys(markers, True)}
        column = {**envelope.checkpoint, "channel_values": values}
        if self._saver.gate.sealing and sealer is not None:
            column = envelope_seal(sealer, envelope, checkpoint_place(key, ns, id_), markers=markers)
        await conn.execute(
            self._saver.UPSERT_CHECKPOINTS_SQL,
            (key, ns, id_, envelope.parent, Jsonb(column), Jsonb(envelope.metadata)),
        )

    async def copy(self, source: uuid.UUID, target: uuid.UUID) -> None:
        """The source's state under the target's id, sealed for it. The target's row must be there, without state."""
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(_ONE_MOMENT)
            archive = await self._read(conn, source)
            await self._write(conn, target, archive)

    async def export(self, thread_id: uuid.UUID, *, owner: str | None, actor: str) -> Row:
        """The thread as one JSON document, signed by this tenant's key where it has one. It holds what users wrote."""
        async with self._pool.connection() as conn, conn.transaction():
            await conn.execute(_ONE_MOMENT)
            await ThreadRows.lock(conn, thread_id, owner=owner)
            row = await (
                await conn.execute("SELECT * FROM threads WHERE thread_id = %s", [thread_id])
            ).fetchone()
            assert row is not None
            thread = {name: row[name] for name in ("owner", "metadata", "values", "created_at", "updated_at")}
            body = {
                "format": FORMAT, "thread_id": str(thread_id), "thread": json.loads(dumps(thread)),
                "state": await self._read(conn, thread_id),
            }  # fmt: skip
            await audit_write(conn, actor=actor, action="thread.exported", object_=f"thread/{thread_id}")
        return {**body, "signature": self._sign(body)}

    async def take_in(self, document: Row, *, actor: str) -> uuid.UUID:
        """A thread that `export` gave out, under its id. Conflict when it is there, Invalid for a foreign signature."""
        body = {name: value for name, value in document.items() if name != "signature"}
        if body.get("format") != FORMAT or not self._signed(body, document.get("signature")):
            raise Invalid(
                "the document was not given out by this tenant's runtime, or was changed since",
                code="export_not_ours",
            )
        thread_id = uuid.UUID(body["thread_id"])
        thread = body["thread"]
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                'INSERT INTO threads (thread_id, owner, metadata, "values") VALUES (%s, %s, %s, %s) '
                "ON CONFLICT (thread_id) DO NOTHING",
                [thread_id, thread["owner"], Jsonb(thread["metadata"]), Jsonb(thread["values"])],
            )
            if cursor.rowcount != 1:
                raise Conflict(f"thread {thread_id} exists: remove it first", code="thread_exists")
            await self._write(conn, thread_id, body["state"])
            await audit_write(conn, actor=actor, action="thread.imported", object_=f"thread/{thread_id}")
        return thread_id

    def _sign(self, body: Row) -> list[str] | None:
        sealer = self._saver.codec.sealer
        if sealer is None:
            return None
        type_, data = sealer.seal("sha256", _digest(body), _SIGNED)
        return [type_, base64.b64encode(data).decode()]

    def _signed(self, body: Row, signature: Any) -> bool:
        sealer = self._saver.codec.sealer
        if sealer is None:
            return signature is None
        try:
            type_, text = signature
            inner, digest = sealer.open(str(type_), base64.b64decode(text, validate=True), _SIGNED)
        except (SealRefused, TypeError, ValueError):
            return False
        return inner == "sha256" and digest == _digest(body)

    @staticmethod
    async def _idle(conn: Connection, thread_id: uuid.UUID, owner: str | None) -> None:
        await ThreadRows.lock(conn, thread_id, owner=owner)
        cursor = await conn.execute(
            "SELECT 1 FROM runs WHERE thread_id = %s AND status IN ('pending', 'running') LIMIT 1",
            [thread_id],
        )
        if await cursor.fetchone():
            raise Conflict(
                f"thread {thread_id} has an active run: wait for it or cancel it", code="thread_busy"
            )

    @staticmethod
    async def _checkpoints(conn: Connection, thread_id: uuid.UUID) -> list[Row]:
        found = await conn.execute(
            "SELECT c.*, (SELECT array_agg(b.channel) FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v "
            "JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns "
            "AND b.channel = v.key AND b.version = v.value AND b.type <> %s) AS stored FROM checkpoints c "
            "WHERE c.thread_id = %s ORDER BY c.checkpoint_ns, c.checkpoint_id",
            [EMPTY, str(thread_id)],
        )
        return await found.fetchall()

    def _envelope(self, row: Row) -> tuple[Envelope, list[str]]:
        """What the row says, proven where it is sealed, and its markers of snapshots."""
        column, codec = row["checkpoint"], self._saver.codec
        stored = set(row["stored"] or ())
        values = column.get("channel_values") or {}
        if not is_sealed(column):
            if codec.sealer is not None and not codec.plain_allowed():
                raise self._refusal(row, "plain")
            markers = [name for name, value in values.items() if value is True and name in stored]
            inline = {name: value for name, value in values.items() if name not in stored}
            whole = {**column, "channel_values": inline}
            return Envelope(
                whole, row["metadata"], row["parent_checkpoint_id"], tuple(sorted(stored))
            ), markers
        if codec.sealer is None:
            raise self._refusal(row, "unknown_key")
        place = checkpoint_place(row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"])
        try:
            return envelope_open(codec.sealer, column, place), [name for name in values if name in stored]
        except SealRefused as refused:
            raise self._refusal(row, refused.reason) from refused

    @staticmethod
    def _refusal(row: Row, reason: str) -> StateRefused:
        return StateRefused(
            f"a row of thread {row['thread_id']} was not written there by this runtime ({reason})"
        )

    async def _read(self, conn: Connection, thread_id: uuid.UUID) -> Row:
        """Everything opened, as JSON data."""
        codec, key = self._saver.codec, str(thread_id)
        state: Row = {"checkpoints": [], "blobs": [], "writes": []}
        for row in await self._checkpoints(conn, thread_id):
            envelope, markers = self._envelope(row)
            state["checkpoints"].append(
                {
                    "ns": row["checkpoint_ns"],
                    "id": row["checkpoint_id"],
                    "markers": markers,
                    **asdict(envelope),
                }
            )
        for table, names in (
            ("checkpoint_blobs", ("channel", "version")),
            ("checkpoint_writes", ("checkpoint_id", "task_id", "task_path", "idx", "channel")),
        ):
            cursor = await conn.execute(
                f"SELECT * FROM {table} WHERE thread_id = %s AND type <> %s ORDER BY 1, 2, 3, 4",  # noqa: S608
                [key, EMPTY],
            )
            for row in await cursor.fetchall():
                at = [row[name] for name in names]
                place = (
                    blob_place(key, row["checkpoint_ns"], *at)
                    if table == "checkpoint_blobs"
                    else write_place(key, row["checkpoint_ns"], *at)
                )
                try:
                    type_, data = codec.unseal(row["type"], bytes(row["blob"] or b""), place)
                except SealRefused as refused:
                    raise self._refusal(row, refused.reason) from refused
                state[table.removeprefix("checkpoint_")].append(
                    {
                        "ns": row["checkpoint_ns"],
                        "at": at,
                        "type": type_,
                        "data": base64.b64encode(data).decode(),
                    }
                )
        return state

    async def _write(self, conn: Connection, thread_id: uuid.UUID, state: Row) -> None:
        sealer, key = self._saver.codec.sealer, str(thread_id)
        sealing = self._saver.gate.sealing and sealer is not None
        for each in state["checkpoints"]:
            envelope = Envelope(each["checkpoint"], each["metadata"], each["parent"], tuple(each["blobs"]))
            await self._put(conn, key, each["ns"], each["id"], envelope, each["markers"])
        for name, statement in (
            ("blobs", self._saver.UPSERT_CHECKPOINT_BLOBS_SQL),
            ("writes", self._saver.INSERT_CHECKPOINT_WRITES_SQL),
        ):
            for each in state[name]:
                at, data = each["at"], base64.b64decode(each["data"])
                place = (
                    blob_place(key, each["ns"], *at) if name == "blobs" else write_place(key, each["ns"], *at)
                )
                stored = (
                    sealer.seal(each["type"], data, place) if sealing and sealer else (each["type"], data)
                )
                await conn.execute(statement, (key, each["ns"], *at, *stored))


def _digest(body: Row) -> bytes:
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).digest()
