"""`python -m controlplane.cli.supervisor`: keeps the five services of this machine running.

It starts them in order, writes what it sees to run/supervisor.json, restarts what dies (bounded), and on
SIGTERM stops them in reverse. Each service runs in a session of its own with an identity file: when the
supervisor itself is killed, the next `up` or `down` finds and settles every one of them.
"""

import json
import signal
import sys
import time
from dataclasses import dataclass, field
from types import FrameType

from controlplane.cli import services
from controlplane.cli.home import ROOT, Home, Ports, home_find
from controlplane.cli.rotation import logs_rotate
from embedded.errors import EmbeddedError
from embedded.postgres import postgres_init, postgres_ready, postgres_running, postgres_start, postgres_stop
from embedded.processes import (
    ProcessIdentity,
    file_write_private,
    identity_read,
    identity_write,
    process_alive,
    process_spawn,
    process_stop,
    processes_marked,
)
from embedded.redis import redis_ready, redis_running, redis_start, redis_stop

TICK_S = 0.5
#: A service that dies more often than this within RESTART_WINDOW_S is left down, and said to have failed.
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
#: Seconds between looks at the size of logs.
ROTATION_INTERVAL_S = 30.0


@dataclass
class Watched:
    """A service as the supervisor sees it."""

    name: str
    identity: ProcessIdentity | None = None
    state: str = "starting"
    restarts: list[float] = field(default_factory=list)
    external: bool = False


class Supervisor:
    def __init__(self, home: Home, ports: Ports) -> None:
        self.home = home
        self.ports = ports
        self.commands = {command.name: command for command in services.commands(ports)}
        self.watched = {name: Watched(name) for name in services.SERVICE_NAMES}
        self.phase = "starting"
        self.error = ""
        self.stopping = False
        self.next_rotation = 0.0

    # --- life ----------------------------------------------------------------------------------------
    def run(self) -> int:
        signal.signal(signal.SIGTERM, self._on_stop)
        signal.signal(signal.SIGINT, self._on_stop)
        self._report()
        try:
            self._start_databases()
            self._wait_for_migrations()
            for name in self.commands:
                if not self.stopping:
                    self._start(name)
        except EmbeddedError as error:
            self.phase, self.error = "failed", str(error)
            self._report()
            self._stop_all()
            return 1
        self.phase = "running"
        while not self.stopping:
            self._watch()
            self._rotate()
            self._report()
            time.sleep(TICK_S)
        self.phase = "stopping"
        self._report()
        self._stop_all()
        self.phase = "stopped"
        self._report()
        return 0

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        self.stopping = True

    # --- starting ------------------------------------------------------------------------------------
    def _start_databases(self) -> None:
        if services.embedded_postgres_wanted():
            server = services.postgres_server(self.home, self.ports)
            password = self.home.secret("postgres_password")
            postgres_init(server, password=password)
            self._started("postgres", postgres_start(server))
            postgres_ready(server, password, 60)
            services.databases_prepare(self.home, self.ports)
            self._serving("postgres")
        else:
            self.watched["postgres"].external = True
        if services.embedded_redis_wanted():
            redis = services.redis_server(self.home, self.ports)
            self._started("redis", redis_start(redis, password=self.home.secret("redis_password")))
            redis_ready(redis, self.home.secret("redis_password"), 30)
            services.redis_url_write(self.home, self.ports)
            self._serving("redis")
        else:
            self.watched["redis"].external = True

    def _wait_for_migrations(self) -> None:
        """`freehold up` migrates once the databases answer, and says so by a file; a restart finds it there."""
        self.phase = "databases"
        self._report()
        while not (self.home.run / "migrated").exists() and not self.stopping:
            time.sleep(0.1)

    def _start(self, name: str) -> None:
        command = self.commands[name]
        self._end_leftovers(name)
        identity = process_spawn(
            command.argv,
            cwd=ROOT,
            env=services.service_environment(self.home, self.ports),
            log_path=self.home.logs / f"{name}.log",
            mark=services.service_mark(self.home, name),
        )
        identity_write(services.service_identity_path(self.home, name), identity)
        self._started(name, identity)
        self._serving(name)

    def _end_leftovers(self, name: str) -> None:
        """A process of an earlier supervisor would fight ours for the port or the queue."""
        for identity in processes_marked(services.service_mark(self.home, name)):
            process_stop(identity, grace_s=5)

    def _started(self, name: str, identity: ProcessIdentity) -> None:
        self.watched[name].identity = identity
        self.watched[name].state = "starting"
        self._report()

    def _serving(self, name: str) -> None:
        self.watched[name].state = "running"
        self._report()

    # --- watching ------------------------------------------------------------------------------------
    def _watch(self) -> None:
        for watched in self.watched.values():
            if watched.external or watched.identity is None or watched.state == "failed":
                continue
            if not process_alive(watched.identity):
                self._restart(watched)

    def _rotate(self) -> None:
        if time.monotonic() >= self.next_rotation:
            self.next_rotation = time.monotonic() + ROTATION_INTERVAL_S
            logs_rotate(self.home)

    def _restart(self, watched: Watched) -> None:
        now = time.monotonic()
        watched.restarts = [at for at in watched.restarts if now - at < RESTART_WINDOW_S]
        if len(watched.restarts) >= MAX_RESTARTS:
            watched.state = "failed"
            return
        watched.restarts.append(now)
        try:
            if watched.name == "postgres":
                watched.identity = postgres_start(services.postgres_server(self.home, self.ports))
            elif watched.name == "redis":
                redis = services.redis_server(self.home, self.ports)
                watched.identity = redis_start(redis, password=self.home.secret("redis_password"))
            else:
                self._start(watched.name)
        except EmbeddedError as error:
            self.error = str(error)

    # --- stopping ------------------------------------------------------------------------------------
    def _stop_all(self) -> None:
        services_stop(self.home, self.ports)
        for watched in self.watched.values():
            watched.state = "stopped"

    def _report(self) -> None:
        processes = [
            {
                "name": watched.name,
                "pid": watched.identity.pid if watched.identity else None,
                "state": "external" if watched.external else watched.state,
                "restarts": len(watched.restarts),
            }
            for watched in self.watched.values()
        ]
        state = {"phase": self.phase, "error": self.error, "processes": processes}
        file_write_private(self.home.state_file, json.dumps(state))


def services_stop(home: Home, ports: Ports) -> None:
    """Stops every service of this home, whoever started it: by identity, and by mark when a file is missing."""
    for name, grace_s in reversed(services.GRACE_S.items()):
        path = services.service_identity_path(home, name)
        recorded = identity_read(path)
        known = [recorded] if recorded is not None and process_alive(recorded) else []
        for identity in [*known, *processes_marked(services.service_mark(home, name))]:
            process_stop(identity, grace_s=grace_s)
        path.unlink(missing_ok=True)
    # Runners of operations and what they started: with the worker gone, nobody attends to them.
    for identity in processes_marked(str(home.root / "operations")):
        process_stop(identity, grace_s=5)
    redis = services.redis_server(home, ports)
    if redis_running(redis) is not None:
        redis_stop(redis, 5)
    postgres = services.postgres_server(home, ports)
    if postgres.data_dir.exists() and postgres_running(postgres) is not None:
        postgres_stop(postgres, 20)


def main() -> int:
    home = home_find()
    ports = Ports(**json.loads((home.run / "ports.json").read_text()))
    return Supervisor(home, ports).run()


if __name__ == "__main__":
    sys.exit(main())
