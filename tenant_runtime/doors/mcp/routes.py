"""`/mcp`: streamable HTTP without sessions. Each request stands alone, under its own key, at any replica."""

import asyncio
from importlib import import_module
from types import TracebackType
from typing import Any, Final, Self

from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tenant_runtime.doors.mcp.origins import OriginGuard

_SERVING: Final = "tenant_runtime.doors.mcp.serving"


class McpDoor:
    """The endpoint, and as a context what it needs while it is served.

    The SDK is loaded when somebody calls: it is a quarter of what the runtime loads, and a start that is waited for (a
    resume, a rotation, a takeover) does not need it.
    """

    def __init__(self) -> None:
        self.route = Route("/mcp", OriginGuard(self._handle), methods=["POST"])
        self._serving: asyncio.Task[None] | None = None
        self._manager: asyncio.Future[Any] | None = None
        self._closing = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._serving is not None:
            await asyncio.gather(self._serving, return_exceptions=True)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._manager is None:
            self._manager = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._manager), name="mcp")
        manager = await asyncio.shield(self._manager)
        await manager.handle_request(scope, receive, send)

    async def _serve(self, ready: "asyncio.Future[Any]") -> None:
        """Runs the manager until the end: it must be entered and left by one task."""
        try:
            serving = await asyncio.to_thread(import_module, _SERVING)
            manager = serving.manager_make()
            async with manager.run():
                ready.set_result(manager)
                await self._closing.wait()
        except Exception as error:
            if ready.done():
                raise
            self._manager = None  # the next request tries again
            ready.set_exception(error)
