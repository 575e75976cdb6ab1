"""A network between a browser and the portal that a test can cut: connections are passed on byte by byte, and ended
from the middle, as a proxy with a short patience or a lost network does.
"""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.relay import listening, relayed

#: With this, closing sends a reset: the other end sees a lost connection and not an end.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class TcpProxy:
    """`cut` ends every connection there is; new ones are passed on."""

    upstream: int
    port: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> int:
        """How many ends were cut."""
        with self._lock:
            ends = list(self._open)
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                # Closing alone would wait for the thread that reads from it.
                end.shutdown(socket.SHUT_RDWR)
        return len(ends)

    def serve(self, inner: socket.socket) -> None:
        with suppress(OSError), inner, socket.create_connection(("127.0.0.1", self.upstream)) as outer:
            with self._lock:
                self._open |= {inner, outer}
            relayed(inner, outer)
            with self._lock:
                self._open -= {inner, outer}


@contextmanager
def tcp_proxy(upstream: int) -> Iterator[TcpProxy]:
    """Listens on loopback until the end of the block; `upstream` is a port that need not answer all the time."""
    proxy = TcpProxy(upstream)
    try:
        with listening(proxy.serve) as proxy.port:
            yield proxy
    finally:
        proxy.cut()
