"""Sealed files: AES-256-GCM in frames, so that a file of any size passes through little memory.

A frame is four bytes of length and a ciphertext. Its nonce holds its number and whether it is the last, so frames
cannot be dropped, reordered or cut off unnoticed; each file has a key of its own, derived from the snapshot's.
"""

import base64
import hashlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from stacks.snapshots.errors import SnapshotCorrupt

MAGIC: Final = b"FHS1"
FRAME: Final = 1 << 20
_TAG: Final = 16


def key_make() -> str:
    """A fresh snapshot key: 32 random bytes in base64."""
    return base64.b64encode(os.urandom(32)).decode()


def _cipher(key: str, name: str) -> AESGCM:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"freehold/snapshot/v1/{name}".encode())
    return AESGCM(derived.derive(base64.b64decode(key)))


def _nonce(number: int, last: bool) -> bytes:
    return struct.pack(">BxxxQ", 1 if last else 0, number)


class SealedWriter:
    """Writes one sealed file (0600). `bytes` and `sha256` are the file's, known after `close`."""

    def __init__(self, path: Path, *, key: str, name: str) -> None:
        self._cipher = _cipher(key, name)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._number = 0
        self.bytes = 0
        self.sha256 = ""
        self._put(MAGIC)

    def write(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) > FRAME:
            self._frame(bytes(self._buffer[:FRAME]), last=False)
            del self._buffer[:FRAME]

    def close(self) -> None:
        """Writes the last frame and makes sure that the file is on disk."""
        self._frame(bytes(self._buffer), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self.sha256 = self._digest.hexdigest()

    def _frame(self, plain: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), plain, None)
        self._number += 1
        self._put(struct.pack(">I", len(sealed)) + sealed)

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.bytes += len(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._file.close()


def sealed_read(path: Path, *, key: str, name: str) -> Iterator[bytes]:
    """The content in pieces. SnapshotCorrupt, naming the file, when any of it was changed or is missing."""
    cipher = _cipher(key, name)
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise SnapshotCorrupt(f"{name} does not begin as a sealed file does.")
            number, ended = 0, False
            while header := file.read(4):
                length = struct.unpack(">I", header)[0] if len(header) == 4 else 0
                if ended or not _TAG <= length <= FRAME + _TAG:
                    raise SnapshotCorrupt(f"{name} was changed or cut off.")
                sealed = file.read(length)
                ended = file.peek(1) == b""
                yield cipher.decrypt(_nonce(number, ended), sealed, None)
                number += 1
            if not ended:
                raise SnapshotCorrupt(f"{name} ends too early.")
    except InvalidTag:
        raise SnapshotCorrupt(f"{name} was changed, or its key is another one.") from None
    except OSError as error:
        raise SnapshotCorrupt(f"{name} cannot be read: {error.strerror}.") from error


def file_sha256(path: Path) -> str:
    """SnapshotCorrupt when the file cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(FRAME):
                digest.update(piece)
    except OSError as error:
        raise SnapshotCorrupt(f"{path.name} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()
