"""The kinds of unit, and the one way to bring a unit to a wanted state."""

import secrets
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from embedded.databases import database_ensure, login_ensure, logins_retire
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
    KEEPER,
    RedisServer,
    redis_has_keeper,
    redis_ready,
    redis_running,
    redis_start,
    redis_stop,
    redis_url,
    redis_user_ensure,
    redis_users_retire,
)
from stacks.providers.local.inputs import PostgresInputs, RedisInputs, UnitInputs
from stacks.providers.local.unitfile import (
    UnitFile,
    folder_make,
    secret_ensure,
    secret_path,
    secret_read,
    secrets_forget,
    secrets_others,
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
REDIS_KEEPER_FILE = "keeper.password"


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

    def retire(self, *, keep: int) -> None:
        """Credentials of all generations but `keep` open nothing any more."""
        return

    def retired(self, *, keep: int) -> bool:
        """Whether that was done to its end."""
        return True

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
    LIVE = frozenset({"credentials"})
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
        secret_ensure(self._login_file())
        postgres_init(self.server, password=self._superuser_password())
        return False

    def start(self) -> None:
        identity = postgres_start(self.server)
        postgres_ready(self.server, self._superuser_password(), READY_WAIT_S, identity=identity)

    def settle(self) -> None:
        owners = self.folder / OWNER_PASSWORD_FILE
        database_ensure(
            self.server,
            self._superuser_password(),
            database=self.inputs.database,
            owner=self.inputs.owner,
            # Retired, it logs in no more, whatever its password: this one is told to nobody.
            owner_password=secret_read(owners) if owners.exists() else secrets.token_urlsafe(32),
            extensions=self.inputs.extensions,
        )
        if self.inputs.credentials > 1:
            login_ensure(
                self.server,
                self._superuser_password(),
                login=self._login(self.inputs.credentials),
                owner=self.inputs.owner,
                login_password=self._login_password(),
            )

    def retire(self, *, keep: int) -> None:
        logins_retire(
            self.server,
            self._superuser_password(),
            database=self.inputs.database,
            owner=self.inputs.owner,
            keep=self._login(keep),
        )
        secrets_forget(self.folder, "owner", keep=keep)

    def retired(self, *, keep: int) -> bool:
        return not secrets_others(self.folder, "owner", keep=keep)

    def running(self) -> ProcessIdentity | None:
        return postgres_running(self.server)

    def stop(self) -> None:
        postgres_stop(self.server, STOP_GRACE_S)

    def computed(self) -> dict[str, Any]:
        password = self._login_password()
        login = self._login(self.inputs.credentials)
        url = postgres_url(self.server, password, self.inputs.database, user=login)
        return {"password": password, "superuser_password": self._superuser_password(), "url": url}

    def _superuser_password(self) -> str:
        return secret_read(self.folder / SUPERUSER_PASSWORD_FILE)

    def _login(self, generation: int) -> str:
        """Who logs in: the owner itself at first, then roles that act as it."""
        return self.inputs.owner if generation == 1 else f"{self.inputs.owner}_g{generation}"

    def _login_file(self) -> Path:
        return secret_path(self.folder, "owner", self.inputs.credentials)

    def _login_password(self) -> str:
        return secret_read(self._login_file())


@dataclass(frozen=True)
class RedisUnit(Unit):
    KIND = "redis"
    LIVE = frozenset({"credentials"})
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
        secret_ensure(self._password_file())
        secret_ensure(self.folder / REDIS_KEEPER_FILE)
        return not redis_has_keeper(self.server)

    def start(self) -> None:
        identity = redis_start(self.server, password=self._first_password(), users=self._users())
        # By the keeper, as the newest user is let in only afterwards.
        redis_ready(self.server, self._keeper(), READY_WAIT_S, identity=identity, user=KEEPER)

    def settle(self) -> None:
        redis_user_ensure(self.server, keeper=self._keeper(), user=self._user(), password=self._password())

    def retire(self, *, keep: int) -> None:
        redis_users_retire(self.server, keeper=self._keeper(), keep=_redis_user(keep))
        secrets_forget(self.folder, "redis", keep=keep)

    def retired(self, *, keep: int) -> bool:
        return not secrets_others(self.folder, "redis", keep=keep)

    def running(self) -> ProcessIdentity | None:
        return redis_running(self.server)

    def stop(self) -> None:
        redis_stop(self.server, STOP_GRACE_S)

    def computed(self) -> dict[str, Any]:
        password = self._password()
        return {"password": password, "url": redis_url(self.server, password, user=self._user())}

    def _user(self) -> str:
        return _redis_user(self.inputs.credentials)

    def _users(self) -> dict[str, str]:
        """Everybody who may log in now beside the first one: name -> password."""
        users = {KEEPER: self._keeper()}
        for path in self.folder.glob("redis-*.password"):
            users[_redis_user(int(path.stem.partition("-")[2]))] = secret_read(path)
        return users

    def _first_password(self) -> str | None:
        first = self.folder / REDIS_PASSWORD_FILE
        # Nobody there: it was retired, unless it is the one in use, whose loss is an error.
        return secret_read(first) if first.exists() or self.inputs.credentials == 1 else None

    def _password_file(self) -> Path:
        return secret_path(self.folder, "redis", self.inputs.credentials)

    def _password(self) -> str:
        return secret_read(self._password_file())

    def _keeper(self) -> str:
        return secret_read(self.folder / REDIS_KEEPER_FILE)


def _redis_user(generation: int) -> str:
    return "default" if generation == 1 else f"g{generation}"


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


def unit_settle(unit: Unit) -> None:
    """Bring what runs to its file, where an update was killed between the two."""
    with unit_lock(unit.folder):
        unit.settle()


def unit_halt(unit: Unit) -> None:
    with unit_lock(unit.folder):
        unit.stop()


__all__ = ["PostgresUnit", "RedisUnit", "Unit", "unit_converge", "unit_halt", "unit_settle", "unit_start"]
