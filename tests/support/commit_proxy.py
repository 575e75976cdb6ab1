"""A network between a client and Postgres that fails at the worst moment: when a transaction has been committed and
nobody has been told, or when nobody has been asked.

It understands as much of the wire protocol (version 3, without TLS) as it takes to see a commit: message frames, the
COMMIT of the client, and the server's CommandComplete and ReadyForQuery. Everything else passes through unread.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["answer", "request"]

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
#: Commands that change something: outside a transaction block each is a commit of its own.
_WRITES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE", b"COPY")


class _Cut(Exception):
    """The connection ends here."""


@dataclass
class CommitProxy:
    """Of every `every` commits one is eaten (0: none): in turn the server's answer, which the client never sees, and
    the client's request, which the server never sees. `eaten` counts them."""

    port: int
    every: int = 0
    eaten: dict[Side, int] = field(default_factory=lambda: {"answer": 0, "request": 0})
    _seen: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def verdict(self) -> Side | None:
        """Asked at each commit's request: which side of this one is eaten, if any."""
        with self._lock:
            if not self.every:
                return None
            self._seen += 1
            if self._seen % self.every:
                return None
            return "answer" if (self._seen // self.every) % 2 else "request"

    def note(self, side: Side) -> None:
        with self._lock:
            self.eaten[side] += 1


@contextmanager
def commit_proxy(upstream: int) -> Iterator[CommitProxy]:
    """Listens on loopback until the end of the block; `upstream` is the server's port."""
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = CommitProxy(listener.getsockname()[1])

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=_Session(proxy, client, upstream).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield proxy
    finally:
        listener.close()


class _Session:
    """One connection of a client, and the one made for it to the server."""

    def __init__(self, proxy: CommitProxy, client: socket.socket, upstream: int) -> None:
        self.proxy, self.client, self.upstream = proxy, client, upstream
        self.eat: Side | None = None
        self.in_block = False

    def run(self) -> None:
        with contextlib.suppress(OSError, _Cut), self.client:
            start = self._startup()
            with socket.create_connection(("127.0.0.1", self.upstream)) as server:
                server.sendall(start)
                back = threading.Thread(target=self._from_server, args=(server,), daemon=True)
                back.start()
                try:
                    self._from_client(server)
                finally:
                    _end(server)
                    back.join(5)

    def _startup(self) -> bytes:
        """The first message that is no question for encryption, whole."""
        while True:
            length, code = struct.unpack("!II", _exactly(self.client, 8))
            if code not in (_SSL_REQUEST, _GSS_REQUEST):
                return struct.pack("!II", length, code) + _exactly(self.client, length - 8)
            self.client.sendall(b"N")

    def _from_client(self, server: socket.socket) -> None:
        while True:
            kind, payload = _message(self.client)
            if kind in (b"Q", b"P") and _asks_commit(kind, payload):
                self.eat = self.proxy.verdict()
                if self.eat == "request":
                    self.proxy.note("request")
                    raise _Cut
            server.sendall(_frame(kind, payload))

    def _from_server(self, server: socket.socket) -> None:
        try:
            while True:
                kind, payload = _message(server)
                if kind == b"Z":
                    self.in_block = payload != b"I"
                if kind == b"C" and self._commits(payload):
                    self.proxy.note("answer")
                    raise _Cut
                self.client.sendall(_frame(kind, payload))
        except (OSError, _Cut):
            for each in (self.client, server):
                _end(each)

    def _commits(self, tag: bytes) -> bool:
        """Whether this CommandComplete tells of a commit whose answer is to be eaten."""
        if tag.startswith(b"BEGIN"):
            self.in_block = True
        if tag.startswith(b"COMMIT"):
            eat, self.eat = self.eat, None
            return eat == "answer"
        # A commit nobody asked for by name has no request to be eaten apart from the statement itself.
        return not self.in_block and tag.startswith(_WRITES) and self.proxy.verdict() == "answer"


def _asks_commit(kind: bytes, payload: bytes) -> bool:
    """A simple query, or the text of a statement to parse (after the statement's own name)."""
    text = payload if kind == b"Q" else payload.partition(b"\0")[2]
    return text.split(b"\0", 1)[0].strip().rstrip(b";").upper() == b"COMMIT"


def _message(source: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(source, 5)
    return head[:1], _exactly(source, struct.unpack("!I", head[1:])[0] - 4)


def _frame(kind: bytes, payload: bytes) -> bytes:
    return kind + struct.pack("!I", len(payload) + 4) + payload


def _exactly(source: socket.socket, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        part = source.recv(size - len(found))
        if not part:
            raise _Cut
        found += part
    return bytes(found)


def _end(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
