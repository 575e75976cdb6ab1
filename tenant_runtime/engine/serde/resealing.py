"""Seals what is not under the present key yet: rows of an earlier version, and of keys that are being replaced.

In batches, by one replica at a time, until nothing is left; then plain rows are refused for good. A row that does not
open is left as it is: whoever reads it is refused and the operator finds it in the audit.
"""

import asyncio
import logging
from typing import Any, Final

from psycopg import Error
from psycopg.types.json import Jsonb

from tenant_runtime.access.audit import audit_write
from tenant_runtime.database import LOCK_RESEAL, Connection, Pool
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
from tenant_runtime.engine.serde.sealing import Place, Sealer, SealRefused

log = logging.getLogger(__name__)

BATCH: Final = 200
_IDLE_S: Final = 30.0
_BETWEEN_S: Final = 0.05


class Resealing:
    """`run()` is a background task; `batch()` is one bounded step of it."""

    def __init__(self, pool: Pool, sealer: Sealer, gate: SealGate) -> None:
        self._pool, self._sealer, self._gate = pool, sealer, gate
        self._codec = ValueCodec(sealer, gate.plain_readable)
        self._refused: set[Place] = set()

    async def run(self) -> None:
        while True:
            more = False
            try:
                async with self._pool.connection() as conn:
                    await self._gate.load(conn)
                more = self._gate.sealing and await self.batch()
            except (Error, OSError):
                log.warning("sealing stored state failed, tried again soon")
            await asyncio.sleep(_BETWEEN_S if more else self._pause())

    def _pause(self) -> float:
        """Until rows are to be sealed, if that is sooner than the usual look."""
        if self._gate.seal_from is None or self._gate.sealing:
            return _IDLE_S
        left: float = (self._gate.seal_from - self._gate.clock()).total_seconds()
        return max(_BETWEEN_S, min(_IDLE_S, left))

    async def batch(self) -> bool:
        """Seals up to BATCH rows of each table; whether there may be more. Without any, it closes the gate."""
        async with self._pool.connection() as conn, conn.transaction():
            got = await (
                await conn.execute("SELECT pg_try_advisory_xact_lock(%s) AS got", [LOCK_RESEAL])
            ).fetchone()
            if got is None or not got["got"]:
                return False
            done = await self._blobs(conn) + await self._writes(conn) + await self._checkpoints(conn)
            if done:
                return True
            # What is left does not open: it must not keep the gate open for others like it.
            if self._gate.plain_until is None:
                await conn.execute(
                    "UPDATE checkpoint_seal SET plain_until = now() WHERE plain_until IS NULL AND seal_from <= now()"
                )
                await audit_write(conn, actor="runtime", action="checkpoints.sealed", object_="checkpoints")
                await self._gate.load(conn)
        return False

    def _again(self, type_: str, data: bytes, place: Place) -> tuple[str, bytes] | None:
        """The value under the present key; None for one that does not open."""
        if place in self._refused:
            return None
        try:
            return self._sealer.seal(*self._codec.unseal(type_, data, place), place)
        except SealRefused as refused:
            self._refused.add(place)
            log.error(
                "a stored row cannot be sealed anew", extra={"table": place[0], "reason": refused.reason}
            )
            return None

    async def _blobs(self, conn: Connection) -> int:
        rows = await self._rows(
            conn, "SELECT * FROM checkpoint_blobs WHERE type NOT LIKE %s AND type <> %s LIMIT %s FOR UPDATE",
            [f"{self._sealer.current_prefix}%", EMPTY, BATCH + len(self._refused)],
        )  # fmt: skip
        done = 0
        for row in rows:
            place = blob_place(row["thread_id"], row["checkpoint_ns"], row["channel"], row["version"])
            if (sealed := self._again(row["type"], bytes(row["blob"] or b""), place)) is None:
                continue
            done += 1
            await conn.execute(
                "UPDATE checkpoint_blobs SET type = %s, blob = %s WHERE thread_id = %s AND checkpoint_ns = %s "
                "AND channel = %s AND version = %s AND type = %s",
                [
                    *sealed,
                    *(row[name] for name in ("thread_id", "checkpoint_ns", "channel", "version", "type")),
                ],
            )
        return done

    async def _writes(self, conn: Connection) -> int:
        rows = await self._rows(
            conn, "SELECT * FROM checkpoint_writes WHERE type NOT LIKE %s LIMIT %s FOR UPDATE",
            [f"{self._sealer.current_prefix}%", BATCH + len(self._refused)],
        )  # fmt: skip
        done = 0
        for row in rows:
            place = write_place(
                row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"], row["task_id"], row["task_path"],
                row["idx"], row["channel"],
            )  # fmt: skip
            if (sealed := self._again(row["type"], bytes(row["blob"]), place)) is None:
                continue
            done += 1
            await conn.execute(
                "UPDATE checkpoint_writes SET type = %s, blob = %s WHERE thread_id = %s AND checkpoint_ns = %s "
                "AND checkpoint_id = %s AND task_id = %s AND idx = %s AND type = %s",
                [
                    *sealed, row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"], row["task_id"],
                    row["idx"], row["type"],
                ],
            )  # fmt: skip
        return done

    async def _checkpoints(self, conn: Connection) -> int:
        rows = await self._rows(
            conn,
            "SELECT c.*, (SELECT array_agg(b.channel) FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v "
            "JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns "
            "AND b.channel = v.key AND b.version = v.value AND b.type <> %s) AS stored FROM checkpoints c "
            "WHERE coalesce(c.checkpoint -> 'sealed' ->> 0, '') NOT LIKE %s LIMIT %s FOR UPDATE",
            [EMPTY, f"{self._sealer.current_prefix}%", BATCH + len(self._refused)],
        )
        done = 0
        for row in rows:
            place = checkpoint_place(row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"])
            if (column := self._column(row, place)) is None:
                continue
            done += 1
            await conn.execute(
                "UPDATE checkpoints SET checkpoint = %s WHERE thread_id = %s AND checkpoint_ns = %s "
                "AND checkpoint_id = %s",
                [Jsonb(column), row["thread_id"], row["checkpoint_ns"], row["checkpoint_id"]],
            )
        return done

    def _column(self, row: dict[str, Any], place: Place) -> dict[str, Any] | None:
        column = row["checkpoint"]
        if place in self._refused:
            return None
        try:
            if is_sealed(column):
                envelope = envelope_open(self._sealer, column, place)
                markers = list(column.get("channel_values") or {})
            elif self._gate.plain_readable():
                stored, values = set(row["stored"] or ()), column.get("channel_values") or {}
                markers = [name for name, value in values.items() if value is True and name in stored]
                inline = {name: value for name, value in values.items() if name not in stored}
                envelope = Envelope(
                    {**column, "channel_values": inline}, row["metadata"], row["parent_checkpoint_id"],
                    tuple(sorted(stored)),
                )  # fmt: skip
            else:
                raise SealRefused("plain")
            return envelope_seal(self._sealer, envelope, place, markers=markers)
        except SealRefused as refused:
            self._refused.add(place)
            log.error("a stored checkpoint cannot be sealed anew", extra={"reason": refused.reason})
            return None

    @staticmethod
    async def _rows(conn: Connection, statement: str, values: list[Any]) -> list[dict[str, Any]]:
        found = await conn.execute(statement.encode(), values)
        return await found.fetchall()
