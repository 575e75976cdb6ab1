"""What a forked process does: serve ingest by the service or by the whole API, push an outbox, make tenants.

Django is loaded here, and the database, the crash points and the planted bug are the command's.
"""

import json
import os
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID

from embedded.crashpoints import VARIABLE, crash_point

Command = dict[str, Any]
Sockets = dict[int, socket.socket]

#: Called after an answer has left; a planted bug commits here.
AFTER_ANSWER: list[Callable[[], None]] = []


def preload() -> None:
    """Imports what children would import each for itself; opens no connection and starts no thread."""
    from django.db import connections
    from django.urls import get_resolver

    import billing.invoicing.close
    import billing.metering.selectors
    import billing.metering.services  # noqa: F401
    import controlplane.api.urls
    import controlplane.config.asgi  # noqa: F401
    import tenant_runtime.metering.pusher  # noqa: F401
    from tests.billing.crash import plants, pushing  # noqa: F401

    # Both import much on first use: the database's backend, and every view.
    connections["default"]
    get_resolver().url_patterns  # noqa: B018


def play(command: Command, sockets: Sockets) -> None:
    if points := command.get("points"):
        os.environ[VARIABLE] = points
    _database(command)
    from tests.billing.crash.plants import plant

    for name in command.get("plants", ()):
        plant(name)
    ROLES[command["role"]](command, sockets)


def _database(command: Command) -> None:
    from django.db import connections

    chosen = connections.settings["default"]
    chosen.update(NAME=command["database"], HOST="127.0.0.1", PORT=str(command["postgres_port"]))
    if command["role"] != "api":
        # A connection a thread, and a broken one is one that is opened anew.
        chosen["OPTIONS"].pop("pool", None)


def _migrate(command: Command, sockets: Sockets) -> None:
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)


def _ingest(command: Command, sockets: Sockets) -> None:
    """`POST /ingest/<tenant id>/<slug>` is the service itself, `POST /query` the usage query."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ingest, bind_and_activate=False)
    server.socket.close()
    server.socket = sockets[command["port"]]
    server.daemon_threads = True
    server.serve_forever(poll_interval=5)


class _Ingest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one segment each: waiting for more would cost 40 ms an answer.
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        from django.db import connections

        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            status, answer = 200, self._answer(json.loads(body, parse_float=str))
        except Exception as error:  # the sender does not know either, and asks again
            print(f"{type(error).__name__}: {error}", flush=True)
            connections.close_all()
            status, answer = 503, {"error": type(error).__name__}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
        if self.path.startswith("/ingest/") and status == 200:
            crash_point("server.answered")
        for call in AFTER_ANSWER:
            call()

    def _answer(self, given: Any) -> Any:
        from billing.metering import selectors, services
        from controlplane.core import clock
        from tests.billing.crash.asking import query_arguments

        if self.path == "/query":
            return selectors.usage_query(**query_arguments(given))
        _, _, tenant_id, slug = self.path.split("/")
        answer = services.usage_ingest(
            tenant_id=UUID(tenant_id), subject=slug, events=given, received_at=clock.now()
        )
        return answer_wire(answer)

    def finish(self) -> None:
        from django.db import connections

        super().finish()
        connections.close_all()

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""


def answer_wire(answer: Any) -> dict[str, Any]:
    counts = {name: getattr(answer, name) for name in ("accepted", "duplicate", "conflict", "rejected")}
    results = [{"id": each.id, "outcome": each.outcome, "reason": each.reason} for each in answer.results]
    return {**counts, "results": results}


def _api(command: Command, sockets: Sockets) -> None:
    """The control plane as it is served, under uvicorn."""
    import uvicorn

    from controlplane.config.asgi import application

    config = uvicorn.Config(application, lifespan="off", access_log=False, log_level="warning")
    uvicorn.Server(config).run(sockets=[sockets[command["port"]]])


def _tenants(command: Command, sockets: Sockets) -> None:
    """Makes a team with a key and its tenants; writes their ids and the key to the file `out`."""
    from controlplane.accounts import roles
    from controlplane.accounts.services import team_create
    from controlplane.core import clock
    from controlplane.tenants.services import tenant_create
    from tests.support.people import person_make

    team = team_create(name="C", actor="t", now=clock.now())
    person = person_make("crash@example.com", team, roles.OWNER)
    made = {}
    for slug in command["slugs"]:
        tenant, _ = tenant_create(
            principal=person.principal, slug=slug, name=slug, plan="starter", target="local", now=clock.now()
        )
        made[slug] = str(tenant.id)
    out = Path(command["out"])
    out.with_suffix(".part").write_text(json.dumps({"key": person.key, "tenants": made}), encoding="utf-8")
    out.with_suffix(".part").rename(out)


def _pusher(command: Command, sockets: Sockets) -> None:
    from tests.billing.crash import pushing

    pushing.push(command)


def _writer(command: Command, sockets: Sockets) -> None:
    from tests.billing.crash import pushing

    pushing.write(command)


def _seed(command: Command, sockets: Sockets) -> None:
    from tests.billing.crash import closing

    closing.seed(command)


def _close(command: Command, sockets: Sockets) -> None:
    from tests.billing.crash import closing

    closing.close(command)


ROLES: dict[str, Callable[[Command, Sockets], None]] = {
    "migrate": _migrate,
    "ingest": _ingest,
    "api": _api,
    "tenants": _tenants,
    "pusher": _pusher,
    "writer": _writer,
    "seed": _seed,
    "close": _close,
}
