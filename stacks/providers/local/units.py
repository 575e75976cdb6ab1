"""The kinds of unit, and the one way to bring a unit to a wanted state."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from embedded.databases import database_ensure
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_ready,
    postgres_running,
    postgres_start,
    postgres_stop,
    postgres_url,
)
from embedded.processes import ProcessIdentity
from embedded.redis import (
    RedisServer,
    redis_ready,
    redis_running,
    redis_start,
    redis_stop,
    redis_url,
)
from stacks.providers.local.inputs import PostgresInputs, RedisInputs, UnitInputs
from stacks.providers.local.unitfile import (
    UnitFile,
    folder_make,
    secret_ensure,
    secret_read,
    unit_lock,
    unit_read,
    unit_write,
)

READY_WAIT_S = 45.0
STOP_GRACE_S = 10.0
LOG_FILE = "server.log"

SUPERUSER_PASSWORD_FILE = "superuser.password"  # noqa: S105 - a file's name
OWNER_PASSWORD_FILE = "owner.password"  # noqa: S105
REDIS_PASSWORD_FILE = "redis.password"  # noqa: S105


@dataclass(frozen=True)
class Unit(ABC):
    """One process of a tenant. Every method is idempotent and bounded in time."""

    KIND: ClassVar[str]
    BOOT_RANK: ClassVar[int] = 0
    """Units of a lower rank are up before those of a higher one start."""
    LIVE: ClassVar[frozenset[str]] = frozenset()
    """Inputs that `settle` brings to a running process."""

    inputs: UnitInputs

    @property
    def folder(self) -> Path:
        return Path(self.inputs.data_dir)

    @property
    def log_path(self) -> Path:
        return self.folder / LOG_FILE

    @abstractmethod
    def prepare(self) -> bool:
        """Make the files it runs from; True when a running process must be restarted to see them."""

    @abstractmethod
    def start(self) -> None:
        """Run and wait until ready. Raises with the end of the log when it does not become ready."""

    @abstractmethod
    def running(self) -> ProcessIdentity | None: ...

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def computed(self) -> dict[str, Any]:
        """Outputs beside the inputs and `running`, read from the folder."""

    @property
    def should_run(self) -> bool:
        """False for a unit that keeps its folder and runs no process, also after a boot of the machine."""
        return True

    def outdated(self, before: UnitFile | None, *, stale: bool) -> bool:
        """Whether what runs was started with other inputs; `stale`: files it runs from have changed."""
        return stale or (before is not None and self.started_by(before.params) != self.started_by())

    def started_by(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The inputs a process is started with: a change of the others needs no restart."""
        params = self.file().params if params is None else params
        return {name: value for name, value in params.items() if name not in self.LIVE}

    def replace(self) -> None:
        """Make room for a process with the new inputs."""
        self.stop()

    def settle(self) -> None:
        """What is done once it is ready, after a change (not at every boot)."""
        return

    def file(self) -> UnitFile:
        return UnitFile(
            kind=self.KIND,
            name=self.inputs.component,
            tenant=self.inputs.tenant,
            should_run=self.should_run,
            params=self.inputs.plain(),
        )


@dataclass(frozen=True)
class PostgresUnit(Unit):
    """A Postgres server with one database and its owner, an ordinary role."""

    KIND = "postgres"
    inputs: PostgresInputs

    @property
    def server(self) -> PostgresServer:
        return PostgresServer(
            data_dir=self.folder / "data",
            port=self.inputs.port,
            log_path=self.log_path,
            max_connections=self.inputs.max_connections,
            shared_buffers_mb=self.inputs.shared_buffers_mb,
        )

    def prepare(self) -> bool:
        if not self.server.data_dir.exists():
            # On disk before the server that knows no other password.
            secret_ensure(self.folder / SUPERUSER_PASSWORD_FILE)
        secret_ensure(self.folder / OWNER_PASSWORD_FILE)
        postgres_init(self.server, password=self._superuser_password())
        return False

    def start(self) -> None:
        identity = postgres_start(self.server)
        postgres_ready(self.server, self._superuser_password(), READY_WAIT_S, identity=identity)

    def settle(self) -> None:
        database_ensure(
            self.server,
            self._superuser_password(),
            database=self.inputs.database,
            owner=self.inputs.owner,
            owner_password=self._owner_password(),
            extensions=self.inputs.extensions,
        )

    def running(self) -> ProcessIdentity | None:
        return postgres_running(self.server)

    def stop(self) -> None:
        postgres_stop(self.server, STOP_GRACE_S)

    def computed(self) -> dict[str, Any]:
        password = self._owner_password()
        url = postgres_url(self.server, password, self.inputs.database, user=self.inputs.owner)
        return {"password": password, "superuser_password": self._superuser_password(), "url": url}

    def _superuser_password(self) -> str:
        return secret_read(self.folder / SUPERUSER_PASSWORD_FILE)

    def _owner_password(self) -> str:
        return secret_read(self.folder / OWNER_PASSWORD_FILE)


@dataclass(frozen=True)
class RedisUnit(Unit):
    KIND = "redis"
    inputs: RedisInputs

    @property
    def server(self) -> RedisServer:
        return RedisServer(
            dir=self.folder / "data",
            port=self.inputs.port,
            log_path=self.log_path,
            max_memory_mb=self.inputs.max_memory_mb,
            persist=self.inputs.persist,
        )

    def prepare(self) -> bool:
        return secret_ensure(self.folder / REDIS_PASSWORD_FILE)

    def start(self) -> None:
        identity = redis_start(self.server, password=self._password())
        redis_ready(self.server, self._password(), READY_WAIT_S, identity=identity)

    def running(self) -> ProcessIdentity | None:
        return redis_running(self.server)

    def stop(self) -> None:
        redis_stop(self.server, STOP_GRACE_S)

    def computed(self) -> dict[str, Any]:
        password = self._password()
        return {"password": password, "url": redis_url(self.server, password)}

    def _password(self) -> str:
        return secret_read(self.folder / REDIS_PASSWORD_FILE)


def unit_converge(unit: Unit) -> None:
    """Bring the unit to its inputs: files written, process running with them and ready.

    Serves create, adoption after a crash, resize and restart alike: what already fits is left alone, and
    data is kept. A process that runs with other inputs is restarted; one that should not run is ended.
    """
    folder_make(unit.folder)
    with unit_lock(unit.folder):
        before = unit_read(unit.folder)
        stale = unit.prepare()
        if not unit.should_run:
            # The wish first: a boot after a crash between the two must not bring it back.
            unit_write(unit.folder, unit.file())
            unit.stop()
            return
        if unit.running() and unit.outdated(before, stale=stale):
            unit.replace()
        unit_write(unit.folder, unit.file())
        unit.start()
        unit.settle()


def unit_start(unit: Unit) -> None:
    """Start it as its file says; nothing to do when it runs and is ready."""
    with unit_lock(unit.folder):
        unit.start()


def unit_halt(unit: Unit) -> None:
    with unit_lock(unit.folder):
        unit.stop()


__all__ = ["PostgresUnit", "RedisUnit", "Unit", "unit_converge", "unit_halt", "unit_start"]
