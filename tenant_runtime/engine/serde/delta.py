"""The history of delta channels: a checkpoint's chain of parents, read from rows that prove who wrote them."""

from collections.abc import Mapping
from typing import Any, Final

from langgraph.checkpoint.base import DeltaChannelHistory, writes_sort_key
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tenant_runtime.database import Connection
from tenant_runtime.engine.serde.envelope import (
    EMPTY,
    Envelope,
    ValueCodec,
    blob_place,
    checkpoint_place,
    envelope_open,
    is_sealed,
    write_place,
)
from tenant_runtime.engine.serde.sealing import SealRefused

_PAGE: Final = 256


async def delta_history(
    conn: Connection, codec: ValueCodec, serde: JsonPlusSerializer, *, thread_id: str, ns: str, checkpoint_id: str,
    channels: list[str],
) -> Mapping[str, DeltaChannelHistory]:  # fmt: skip
    """For each channel the nearest stored value above the checkpoint, and the writes since, oldest first.

    Only the chain of parents counts, so a fork sees its own ancestors. Raises SealRefused for a row that does not open.
    """
    chains: dict[str, list[str]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    inline: dict[str, Any] = {}
    expected: str | None = checkpoint_id
    missing = set(channels)
    while missing and expected is not None:
        by_id = {row["checkpoint_id"]: row for row in await _page(conn, thread_id, ns, expected)}
        if expected not in by_id:
            raise SealRefused("incomplete")
        while missing and expected is not None and expected in by_id:
            row = by_id[expected]
            found = _envelope(codec, row, thread_id, ns)
            if expected != checkpoint_id:  # its own writes belong to the step after it
                _look(found, row["stored"], expected, missing, chains, seeds, inline)
            expected = found.parent
    writes = await _writes(conn, codec, serde, thread_id, ns, chains)
    result: dict[str, DeltaChannelHistory] = {}
    for channel in channels:
        entry: DeltaChannelHistory = {"writes": writes.get(channel, [])}
        if channel in seeds:
            value = await _blob(conn, codec, serde, thread_id, ns, channel, seeds[channel])
            if value is not None:
                entry["seed"] = value[0]
        elif channel in inline:
            entry["seed"] = inline[channel]
        result[channel] = entry
    return result


def _look(
    found: Envelope, stored_plain: list[str] | None, checkpoint_id: str, missing: set[str],
    chains: dict[str, list[str]], seeds: dict[str, Any], inline: dict[str, Any],
) -> None:  # fmt: skip
    """Takes one ancestor in: its writes belong to the history, and a value of a channel ends that channel's walk."""
    stored = set(found.blobs) or set(stored_plain or ())
    values = found.checkpoint.get("channel_values") or {}
    for channel in list(missing):
        chains[channel].append(checkpoint_id)
        if channel in stored:
            seeds[channel] = found.checkpoint["channel_versions"].get(channel)
        elif values.get(channel) is not None:
            inline[channel] = values[channel]
        else:
            continue
        missing.discard(channel)


def _envelope(codec: ValueCodec, row: Mapping[str, Any], thread_id: str, ns: str) -> Envelope:
    column = row["checkpoint"]
    if codec.sealer is not None and (is_sealed(column) or not codec.plain_allowed()):
        return envelope_open(codec.sealer, column, checkpoint_place(thread_id, ns, row["checkpoint_id"]))
    return Envelope(column, {}, row["parent_checkpoint_id"], ())


async def _page(conn: Connection, thread_id: str, ns: str, cursor: str) -> list[dict[str, Any]]:
    """Newest first from the cursor down; `stored` names channels with a value of their own, for plain rows."""
    found = await conn.execute(
        "SELECT c.checkpoint_id, c.parent_checkpoint_id, c.checkpoint, CASE WHEN c.checkpoint ? 'sealed' THEN NULL "
        "ELSE (SELECT array_agg(b.channel) FROM jsonb_each_text(c.checkpoint -> 'channel_versions') v "
        "JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns "
        "AND b.channel = v.key AND b.version = v.value AND b.type <> %s) END AS stored "
        "FROM checkpoints c WHERE c.thread_id = %s AND c.checkpoint_ns = %s AND c.checkpoint_id <= %s "
        "ORDER BY c.checkpoint_id DESC LIMIT %s",
        [EMPTY, thread_id, ns, cursor, _PAGE],
    )
    return await found.fetchall()


async def _writes(
    conn: Connection, codec: ValueCodec, serde: JsonPlusSerializer, thread_id: str, ns: str,
    chains: dict[str, list[str]],
) -> dict[str, list[tuple[str, str, Any]]]:  # fmt: skip
    ids = sorted({id_ for chain in chains.values() for id_ in chain})
    found = await conn.execute(
        "SELECT checkpoint_id, task_id, task_path, idx, channel, type, blob FROM checkpoint_writes "
        "WHERE thread_id = %s AND checkpoint_ns = %s AND channel = ANY(%s) AND checkpoint_id = ANY(%s)",
        [thread_id, ns, list(chains), ids],
    )
    rows = await found.fetchall()
    wanted = {channel: set(chain) for channel, chain in chains.items()}
    rows = [row for row in rows if row["checkpoint_id"] in wanted[row["channel"]]]
    rows.sort(
        key=lambda row: (row["checkpoint_id"], *writes_sort_key(row["task_path"], row["task_id"], row["idx"]))
    )
    result: dict[str, list[tuple[str, str, Any]]] = {}
    for row in rows:
        place = write_place(
            thread_id, ns, row["checkpoint_id"], row["task_id"], row["task_path"], row["idx"], row["channel"]
        )
        value = codec.load(serde, row["type"], bytes(row["blob"]), place)
        result.setdefault(row["channel"], []).append((row["task_id"], row["channel"], value))
    return result


async def _blob(
    conn: Connection, codec: ValueCodec, serde: JsonPlusSerializer, thread_id: str, ns: str, channel: str,
    version: Any,
) -> tuple[Any] | None:  # fmt: skip
    found = await conn.execute(
        "SELECT type, blob FROM checkpoint_blobs WHERE thread_id = %s AND checkpoint_ns = %s AND channel = %s "
        "AND version = %s AND type <> %s",
        [thread_id, ns, channel, str(version), EMPTY],
    )
    row = await found.fetchone()
    if row is None:
        return None
    place = blob_place(thread_id, ns, channel, version)
    return (codec.load(serde, row["type"], bytes(row["blob"] or b""), place),)
