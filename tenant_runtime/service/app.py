"""The ASGI application of one runtime."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from tenant_runtime import __version__
from tenant_runtime.crons.scheduler import Scheduler
from tenant_runtime.doors.a2a.pushing import Pushing
from tenant_runtime.doors.a2a.routes import a2a_routes
from tenant_runtime.doors.mcp.routes import McpDoor
from tenant_runtime.doors.openai import chat, models, responses
from tenant_runtime.runtime import Runtime, task_running
from tenant_runtime.service import (
    activity,
    admin,
    agent_protocol,
    assistants,
    crons,
    data,
    description,
    documents,
    invocations,
    operations,
    runs,
    store,
    thread_commands,
    thread_states,
    thread_streams,
    threads,
    triggers,
)
from tenant_runtime.service.crons import cron_begin
from tenant_runtime.service.draining import Drain, Farewell
from tenant_runtime.service.guard import Guard
from tenant_runtime.service.problems import problems_install

ROUTERS = (
    description.router,
    operations.router, activity.router, admin.router, documents.router, assistants.router, threads.router,
    thread_states.router, thread_streams.router,
    thread_commands.router, crons.router, runs.router, store.router, agent_protocol.router,
    chat.router, models.router, responses.router,
    invocations.router, triggers.router, data.router,
)  # fmt: skip


def app_make(
    open_runtime: Callable[[], AbstractAsyncContextManager[Runtime]], drain: Drain | None = None
) -> FastAPI:
    """The app; its lifespan opens the runtime before the first request and closes it after the last."""
    drain = drain or Drain()
    mcp = McpDoor()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_runtime() as runtime, mcp:
            app.state.runtime = drain.runtime = runtime
            scheduler = Scheduler(runtime.pool, partial(cron_begin, runtime))
            async with (
                task_running(scheduler.run(), "cron scheduler"),
                task_running(Pushing(runtime).run(), "push notifications"),
            ):
                yield

    # No schema or docs pages: they would be answered before anybody has shown a key.
    app = FastAPI(
        title="Freehold tenant runtime", version=__version__, lifespan=lifespan,
        openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False,
    )  # fmt: skip
    problems_install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.extend([*a2a_routes(), mcp.route])

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
