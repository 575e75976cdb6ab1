"""A checkpoint row as it lies in the database: what Postgres must join by in the clear, everything else sealed.

The sealed envelope holds the checkpoint, its metadata, its parent and the names of the values that lie in rows of their
own. What it says counts; the clear columns are only for finding rows.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tenant_runtime.engine.serde.sealing import Place, Sealer, SealRefused

_KEY: Final = "sealed"
#: What a value may be before it is sealed: nothing that is rebuilt by importing what a row names.
INNER_TYPES: Final = ("null", "bytes", "bytearray", "msgpack")
EMPTY: Final = "empty"


@dataclass(frozen=True)
class Envelope:
    """`blobs` names the channels whose value lies in a row of its own, under its version in `checkpoint`."""

    checkpoint: dict[str, Any]
    metadata: dict[str, Any]
    parent: str | None
    blobs: tuple[str, ...]


def blob_place(thread_id: str, ns: str, channel: str, version: Any) -> Place:
    return ("blob", thread_id, ns, channel, str(version))


def write_place(
    thread_id: str, ns: str, checkpoint_id: str, task_id: str, path: str, idx: int, channel: str
) -> Place:
    return ("write", thread_id, ns, checkpoint_id, task_id, path, idx, channel)


def checkpoint_place(thread_id: str, ns: str, checkpoint_id: str) -> Place:
    return ("checkpoint", thread_id, ns, checkpoint_id)


def envelope_seal(sealer: Sealer, envelope: Envelope, place: Place, *, markers: list[str]) -> dict[str, Any]:
    """The row's `checkpoint` column. `markers` are channels whose value here is a snapshot of a delta channel."""
    inner = {"c": envelope.checkpoint, "m": envelope.metadata, "p": envelope.parent, "b": envelope.blobs}
    type_, data = sealer.seal("json", json.dumps(inner, separators=(",", ":")).encode(), place)
    clear = {name: envelope.checkpoint[name] for name in ("v", "id", "ts", "channel_versions")}
    return {
        **clear,
        "channel_values": dict.fromkeys(markers, True),
        _KEY: [type_, base64.b64encode(data).decode()],
    }


def is_sealed(column: Any) -> bool:
    return isinstance(column, dict) and _KEY in column


def sealed_type(column: dict[str, Any]) -> str:
    return str(column[_KEY][0])


def envelope_open(sealer: Sealer, column: dict[str, Any], place: Place) -> Envelope:
    """SealRefused unless this runtime sealed it at this place."""
    found = column.get(_KEY)
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(part, str) for part in found)):
        raise SealRefused("plain" if found is None else "malformed")
    try:
        data = base64.b64decode(found[1], validate=True)
    except ValueError:
        raise SealRefused("malformed") from None
    inner, text = sealer.open(found[0], data, place)
    if inner != "json":
        raise SealRefused("foreign")
    body = json.loads(text)
    return Envelope(body["c"], body["m"], body["p"], tuple(body["b"]))


class ValueCodec:
    """Single values. `plain_allowed` answers whether a row from before the sealing may still be read."""

    def __init__(self, sealer: Sealer | None, plain_allowed: Callable[[], bool]) -> None:
        self.sealer, self.plain_allowed = sealer, plain_allowed

    def dump(
        self, serde: JsonPlusSerializer, value: Any, place: Place, *, sealing: bool
    ) -> tuple[str, bytes]:
        type_, data = serde.dumps_typed(value)
        return self.sealer.seal(type_, data, place) if sealing and self.sealer else (type_, data)

    def unseal(self, type_: str, data: bytes, place: Place) -> tuple[str, bytes]:
        """(type, bytes) for the serializer, of a type that rebuilds nothing a row could name."""
        if self.sealer is None or (":" not in type_ and self.plain_allowed()):
            inner, opened = type_, data
        else:
            inner, opened = self.sealer.open(type_, data, place)
        if inner not in INNER_TYPES:
            raise SealRefused("plain" if ":" not in type_ else "malformed")
        return inner, opened

    def load(self, serde: JsonPlusSerializer, type_: str, data: bytes, place: Place) -> Any:
        inner, opened = self.unseal(type_, data, place)
        return serde.loads_typed((inner, opened))
