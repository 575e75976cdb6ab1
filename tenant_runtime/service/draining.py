"""How a serving process ends without cutting anybody off, and says when it has begun to serve.

On SIGTERM it stops accepting and claiming, answers open connections with `Connection: close`, so that their clients
come back through the successor, and ends once its runs are over or the time is up. What runs then goes back to the
queue, its checkpoint kept, and another worker goes on at once. A second SIGTERM hurries it.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.supervisors import multiprocess

from tenant_runtime.runtime import Runtime
from tenant_runtime.service.garbage import garbage_settle
from tenant_runtime.service.listener import Offer

READY_FILE: Final = "ready"
#: For how long clients are told to come back on another connection, even if no run is going on.
FAREWELL_S: Final = 1.0
_POLL_S: Final = 0.05


class Drain:
    """One a process: the server begins it, the application acts on it."""

    def __init__(self) -> None:
        self.begun = False
        self.hurried = False
        self.runtime: Runtime | None = None

    async def over(self, *, farewell_s: float = FAREWELL_S) -> None:
        """Returns when nothing runs here any more: it ended, or was given back."""
        self.begun = True
        if self.runtime is None:
            return
        self.runtime.executor.claim_no_more()
        begun = time.monotonic()
        deadline = begun + self.runtime.settings.drain_s
        while not self.hurried and time.monotonic() < deadline:
            if not self.runtime.executor.running and time.monotonic() - begun >= farewell_s:
                return
            await asyncio.sleep(_POLL_S)
        await self.runtime.executor.drain(0)


def ready_mark(state_dir: Path | None) -> None:
    """Leaves `ready` with the main process's pid in the state folder: from now on this process does its work."""
    if state_dir is None:
        return
    parent = multiprocessing.parent_process()
    mark = state_dir / f"{READY_FILE}.{os.getpid()}"
    mark.write_text(str(os.getpid() if parent is None else parent.pid))
    mark.replace(state_dir / READY_FILE)


#: The one of this process, for applications that a worker's factory makes.
PROCESS_DRAIN: Final = Drain()


class Farewell:
    """Plain ASGI: while draining, each answer asks its client to use another connection next time."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.begun:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


class DrainingServer(uvicorn.Server):
    """Says that it is ready once it serves."""

    def __init__(self, config: uvicorn.Config, *, state_dir: Path | None, drain: Drain) -> None:
        super().__init__(config)
        self._state_dir, self._drain = state_dir, drain
        self._offer: Offer | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        garbage_settle()
        if not self.started or self._state_dir is None:
            return
        if multiprocessing.parent_process() is None and sockets:
            self._offer = Offer(sockets[0], self._state_dir)
        ready_mark(self._state_dir)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        if self._offer is not None:
            self._offer.close()
        await self._drain.over()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self._drain.hurried = True
        super().handle_exit(sig, frame)


class _Worker(multiprocess.Process):
    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            state_dir = os.environ.get("RUNTIME_STATE_DIR")
            self._server = DrainingServer(
                self.config, state_dir=Path(state_dir) if state_dir else None, drain=PROCESS_DRAIN
            )
        return self._server


class Workers(multiprocess.Multiprocess):
    """uvicorn's own manager of processes, with workers that drain, and a second SIGTERM passed on to them."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket, *, state_dir: Path | None) -> None:
        # uvicorn has no other place to say which class its workers are.
        multiprocess.Process = _Worker  # type: ignore[misc]
        super().__init__(config, sockets=[listener])
        self._listener = listener
        self._offered = None if state_dir is None else Offer(listener, state_dir)

    def terminate_all(self) -> None:
        self._listener.close()
        if self._offered is not None:
            self._offered.close()
        self.signal_queue.clear()
        super().terminate_all()

    def join_all(self) -> None:
        for worker in self.processes:
            while worker.process.is_alive():
                worker.process.join(0.2)
                if signal.SIGTERM in self.signal_queue:
                    self.signal_queue.clear()
                    for each in self.processes:
                        if each.process.is_alive() and each.pid is not None:
                            os.kill(each.pid, signal.SIGTERM)
