"""Sealing of stored values: AES-256-GCM whose additional data says where a value lies and what it is.

A sealed value has the type `fh1:KEY_ID:INNER`, or `fh1:KEY_ID:INNER:z` when it was compressed first. It opens under
the key of that id, for the same tenant and at the same place, and nowhere else.
"""

import base64
import binascii
import json
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MARK: Final = "fh1"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
#: Postgres compresses what it stores, and cannot compress what is encrypted: so it is done here, before.
_COMPRESS_FROM: Final = 512
_ENTRY = re.compile(
    r"^(?P<id>[A-Za-z0-9_-]{1,32})(?:@(?P<tenant>[a-z0-9-]{1,63}))?:(?P<key>[A-Za-z0-9+/_=-]+)$"
)

Place = tuple[str | int, ...]


class SealRefused(Exception):
    """A value that does not open here. `reason` is one of plain, malformed, unknown_key, foreign."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class SealKey:
    """`tenant` is another one's name where its data was restored into this tenant; None: this tenant."""

    id: str
    tenant: str | None
    cipher: AESGCM


def seal_keys_parse(text: str) -> tuple[SealKey, ...]:
    """`ID:KEY` or `ID@TENANT:KEY`, separated by commas; a key is 32 random bytes in base64.

    The first one seals, all of them open. ValueError says which entry does not fit, never its key.
    """
    keys: list[SealKey] = []
    for number, entry in enumerate(filter(None, (part.strip() for part in text.split(","))), start=1):
        found = _ENTRY.match(entry)
        if found is None:
            raise ValueError(f"entry {number} is not ID:KEY")
        try:
            raw = base64.b64decode(found["key"].replace("-", "+").replace("_", "/") + "==", validate=False)
        except binascii.Error:
            raise ValueError(f"entry {number} ({found['id']}) is not base64") from None
        if len(raw) != _KEY_BYTES:
            raise ValueError(f"entry {number} ({found['id']}) has {len(raw)} bytes instead of {_KEY_BYTES}")
        if any(key.id == found["id"] for key in keys):
            raise ValueError(f"the id {found['id']} is there twice")
        keys.append(SealKey(found["id"], found["tenant"], AESGCM(raw)))
    if keys and keys[0].tenant is not None:
        raise ValueError("the first key seals, so it must be this tenant's own")
    return tuple(keys)


class Sealer:
    """Seals with the first key, opens with any."""

    def __init__(self, keys: tuple[SealKey, ...], *, tenant: str) -> None:
        if not keys:
            raise ValueError("no key")
        self._current = keys[0]
        self._by_id: Mapping[str, SealKey] = {key.id: key for key in keys}
        self._tenant = tenant

    @property
    def current_prefix(self) -> str:
        """How the type of every value begins that the sealing key has sealed."""
        return f"{MARK}:{self._current.id}:"

    def _bound(self, key: SealKey, type_: str, place: Place) -> bytes:
        return json.dumps([type_, key.tenant or self._tenant, *place], separators=(",", ":")).encode()

    def seal(self, inner: str, data: bytes, place: Place) -> tuple[str, bytes]:
        """(type, bytes) to store at `place`; `inner` names what `data` is."""
        type_ = f"{MARK}:{self._current.id}:{inner}"
        if len(data) >= _COMPRESS_FROM and len(packed := zlib.compress(data, 1)) < len(data):
            type_, data = f"{type_}:z", packed
        nonce = os.urandom(_NONCE_BYTES)
        return type_, nonce + self._current.cipher.encrypt(
            nonce, data, self._bound(self._current, type_, place)
        )

    def open(self, type_: str, data: bytes, place: Place) -> tuple[str, bytes]:
        """(inner, bytes) as they were sealed. SealRefused for everything that was not sealed here."""
        parts = type_.split(":")
        if parts[0] != MARK:
            raise SealRefused("plain")
        if len(parts) not in (3, 4) or parts[3:] not in ([], ["z"]) or len(data) < _NONCE_BYTES + 16:
            raise SealRefused("malformed")
        key = self._by_id.get(parts[1])
        if key is None:
            raise SealRefused("unknown_key")
        try:
            opened = key.cipher.decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], self._bound(key, type_, place)
            )
        except InvalidTag:
            raise SealRefused("foreign") from None
        return parts[2], zlib.decompress(opened) if len(parts) == 4 else opened
