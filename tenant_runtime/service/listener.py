"""The listening socket, handed from a running process to its successor: no connection is lost in between.

A process offers its socket on a Unix socket in its state folder, which belongs to its tenant alone, under its pid.
A successor takes it from there instead of binding anew, so both share one queue of connections; the old process
then stops accepting, and what waits in the queue is the new one's. (SO_REUSEPORT would give each a queue of its
own, and what waits in the old one's would be reset.)
"""

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

BACKLOG: Final = 2048
_TAKE_S: Final = 2.0


def offer_path(state_dir: Path, pid: int) -> Path:
    return state_dir / f"listener.{pid}"


def listener_open(host: str, port: int, offer: Path | None) -> socket.socket:
    """The predecessor's socket where one of this address is offered, else a new one. OSError when it is taken."""
    taken = _take(offer) if offer is not None else None
    if taken is not None:
        if taken.getsockname()[:2] == (host, port):
            return taken
        taken.close()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on for its connections: each small piece of an answer would
    # then wait 40 ms for the client to acknowledge the one before.
    fresh = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        fresh.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        fresh.bind((host, port))
        fresh.listen(BACKLOG)
    except OSError:
        fresh.close()
        raise
    return fresh


class Offer:
    """Hands the socket to whoever of this user asks, from a thread, until `close`."""

    def __init__(self, listener: socket.socket, state_dir: Path) -> None:
        # A path below the working folder stays relative: the path of a Unix socket must be short.
        self._path = offer_path(state_dir, os.getpid())
        self._listener = listener.dup()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.unlink(missing_ok=True)
        self._server.bind(str(self._path))
        self._path.chmod(0o600)
        self._server.listen(4)
        threading.Thread(target=self._serve, name="listener offer", daemon=True).start()

    def close(self) -> None:
        """From now on nobody connects through this process."""
        self._path.unlink(missing_ok=True)
        self._server.close()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                with connection, suppress(OSError):
                    socket.send_fds(connection, [b"listener"], [self._listener.fileno()])


def _take(offer: Path) -> socket.socket | None:
    """None when nobody offers: a first start, or one after a crash."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(_TAKE_S)
        try:
            client.connect(str(offer))
            _, descriptors, _, _ = socket.recv_fds(client, 64, 1)
        except OSError:
            return None
    return socket.socket(fileno=descriptors[0]) if descriptors else None
