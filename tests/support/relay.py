"""What a proxy of a test is made of: a listener on loopback, a thread for each connection, and bytes passed on."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """The port, whose connections go to `serve`, each in a thread of its own; the end of the block closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                inner, _ = listener.accept()
                threading.Thread(target=serve, args=(inner,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def relayed(inner: socket.socket, outer: socket.socket) -> None:
    """Passes on what either end says, until both are done."""
    back = threading.Thread(target=_copied, args=(outer, inner), daemon=True)
    back.start()
    _copied(inner, outer)
    back.join(5)


def _copied(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
