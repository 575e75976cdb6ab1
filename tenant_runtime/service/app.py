"""The ASGI application of one runtime."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tenant_runtime import __version__
from tenant_runtime.runtime import Runtime
from tenant_runtime.service import admin, assistants, documents, operations, runs, threads
from tenant_runtime.service.draining import Drain, Farewell
from tenant_runtime.service.guard import Guard
from tenant_runtime.service.problems import problems_install

ROUTERS = (
    operations.router, admin.router, documents.router, assistants.router, threads.router, runs.router,
)  # fmt: skip


def app_make(
    open_runtime: Callable[[], AbstractAsyncContextManager[Runtime]], drain: Drain | None = None
) -> FastAPI:
    """The app; its lifespan opens the runtime before the first request and closes it after the last."""
    drain = drain or Drain()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runtime() as runtime:
            app.state.runtime = drain.runtime = runtime
            yield

    # No schema or docs pages: they would be answered before anybody has shown a key.
    app = FastAPI(
        title="Freehold tenant runtime", version=__version__, lifespan=lifespan,
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    problems_install(app)
    for router in ROUTERS:
        app.include_router(router)

    class LateGuard:
        """The guard needs the runtime, which exists once the lifespan has begun."""

        def __init__(self, inner: ASGIApp) -> None:
            self._inner = inner
            self._guard: Guard | None = None

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                await self._inner(scope, receive, send)
                return
            if self._guard is None:
                self._guard = Guard(self._inner, app.state.runtime)
            await self._guard(scope, receive, send)

    app.add_middleware(LateGuard)
    app.add_middleware(Farewell, drain=drain)
    return app
