"""Runs the application under uvicorn: in this process, or as the factory of several."""

import asyncio
import json
import os
import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from tenant_runtime.agents.loading import Agents, agents_load, manifest_examine
from tenant_runtime.agents.recorded import schemas_look
from tenant_runtime.errors import ManifestInvalid, StartRefused
from tenant_runtime.logs import logs_configure
from tenant_runtime.opening import runtime_open
from tenant_runtime.runtime import Runtime
from tenant_runtime.service.app import app_make
from tenant_runtime.service.draining import PROCESS_DRAIN, DrainingServer, Workers
from tenant_runtime.service.listener import listener_open, offer_path
from tenant_runtime.settings import Settings, settings_read

#: How long open streams may go on after SIGTERM before they are cut.
GRACE_S: Final = 5


def agents_for(settings: Settings, manifest: Path) -> Agents:
    """The manifest's agents. ManifestInvalid tells also what the database has against those that loaded."""
    report, agents = manifest_examine(manifest)
    if report.good:
        return agents
    raise ManifestInvalid(report.with_problems(asyncio.run(schemas_look(settings, agents.all()))))


def runtime_serve(
    settings: Settings, manifest: Path, host: str, port: int, *, workers: int, reload: bool = False
) -> int:
    """Serves until SIGTERM or SIGINT. Raises StartRefused when the runtime cannot open."""
    logs_configure(settings.log_level, settings.tenant, settings.replica)
    agents = agents_for(settings, manifest)
    listener = _listener(settings, host, port)
    if workers > 1:
        config = uvicorn.Config(
            "tenant_runtime.service.server:worker_app", factory=True, host=host, port=port, workers=workers,
            log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S, server_header=False,
            # Importing the agents takes a busy machine longer than uvicorn waits for a first sign of life.
            timeout_worker_healthcheck=60,
        )  # fmt: skip
        Workers(config, listener, state_dir=settings.state_dir).run()
        return 0
    refused: list[StartRefused] = []

    def opened() -> AbstractAsyncContextManager[Runtime]:
        return _Remembering(settings, agents, refused, manifest if reload else None)

    server = DrainingServer(
        uvicorn.Config(
            app_make(opened, PROCESS_DRAIN), host=host, port=port, log_config=None, access_log=False,
            lifespan="on", timeout_graceful_shutdown=GRACE_S, server_header=False,
        ),
        state_dir=settings.state_dir,
        drain=PROCESS_DRAIN,
    )  # fmt: skip
    try:
        server.run([listener])
    except SystemExit:
        # uvicorn's word for a lifespan that failed; the refusal itself says why.
        if not refused:
            raise
    if refused:
        raise refused[0]
    return 0 if server.started else 1


def _listener(settings: Settings, host: str, port: int) -> socket.socket:
    offer = None
    if settings.state_dir is not None and settings.predecessor is not None:
        offer = offer_path(settings.state_dir, settings.predecessor)
    try:
        return listener_open(host, port, offer)
    except OSError as error:
        raise StartRefused(f"{host}:{port} cannot be listened on: {error.strerror}") from error


class _Remembering(AbstractAsyncContextManager[Runtime]):
    """The runtime as a context; keeps a refusal for the command line, because uvicorn only logs it."""

    def __init__(
        self, settings: Settings, agents: Agents, refused: list[StartRefused], reload_from: Path | None
    ) -> None:
        self._opened = runtime_open(settings, agents, reload_from=reload_from)
        self._refused = refused

    async def __aenter__(self) -> Runtime:
        try:
            return await self._opened.__aenter__()
        except StartRefused as refused:
            self._refused.append(refused)
            raise

    async def __aexit__(self, *error: object) -> None:
        await self._opened.__aexit__(*error)  # type: ignore[arg-type]


def worker_app() -> FastAPI:
    """One worker process's application, from the environment its parent has checked."""
    settings = settings_read()
    logs_configure(settings.log_level, settings.tenant, settings.replica)
    agents = agents_load(Path(os.environ["RUNTIME_MANIFEST"]))
    return app_make(lambda: runtime_open(settings, agents), PROCESS_DRAIN)


def manifest_check(manifest: Path, *, settings: Settings | None, as_json: bool) -> int:
    """Prints the report a start would refuse with; 0 when it is good, else 1. Writes nothing to the database."""
    report, agents = manifest_examine(manifest)
    if settings is not None:
        report = report.with_problems(asyncio.run(schemas_look(settings, agents.all())))
    print(json.dumps(report.data(), indent=2) if as_json else report.text())
    if settings is None and not as_json:
        print("State schemas were not compared: RUNTIME_DATABASE_URL is not set.")
    return 0 if report.good else 1


def model_serve(host: str, port: int) -> int:
    from tenant_runtime.models.offline.app import offline_app

    uvicorn.run(offline_app(), host=host, port=port, access_log=False, log_level="warning")
    return 0
