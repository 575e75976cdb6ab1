"""The five services of a single machine: what each is, how it starts, how one sees that it serves."""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from controlplane.cli.home import ROOT, Home, Ports, integer_read
from embedded.databases import administered_database_ensure, database_ensure
from embedded.postgres import PostgresServer, postgres_url
from embedded.processes import file_write_private
from embedded.redis import RedisServer, redis_url

#: In the order they start; they stop in reverse.
SERVICE_NAMES = ("postgres", "redis", "web", "worker", "scheduler")

#: Of our own commands: how long each has to end before it is killed. Apart from `commands`, so that `down` works
#: whatever is wrong with the environment.
GRACE_S = {"web": 8.0, "worker": 6.0, "scheduler": 5.0}


#: Settings that are secrets; tests hold this list against the settings' own readers.
SECRET_VARIABLES = (
    "DATABASE_URL",
    "FREEHOLD_EMAIL_URL",
    "FREEHOLD_ENCRYPTION_KEYS",
    "FREEHOLD_SECRET_KEY",
    "MODEL_API_KEY",
    "PULUMI_BACKEND_URL",
    "REDIS_URL",
)


@dataclass(frozen=True)
class Command:
    """A service that is a command of ours."""

    name: str
    argv: list[str]
    grace_s: float


def postgres_server(home: Home, ports: Ports) -> PostgresServer:
    return PostgresServer(
        data_dir=home.root / "postgres",
        port=ports.postgres,
        log_path=home.logs / "postgres.log",
        superuser="postgres",
        max_connections=200,
        shared_buffers_mb=64,
    )


def redis_server(home: Home, ports: Ports) -> RedisServer:
    folder = home.root / "redis"
    folder.mkdir(mode=0o700, exist_ok=True)
    return RedisServer(dir=folder, port=ports.redis, log_path=home.logs / "redis.log")


def threads() -> int:
    """Of the worker. Each operation is a process of its own already; two more keep the sweep alive when all work."""
    return integer_read("FREEHOLD_MAX_OPERATIONS", 4, 1, 256) + 2


def commands(ports: Ports) -> list[Command]:
    web = (
        f"-m uvicorn controlplane.config.asgi:application --host 127.0.0.1 --port {ports.web} --no-access-log"
    )
    celery = "-m celery -A controlplane.config.celery"
    worker = f"{celery} worker --pool threads --concurrency {threads()} --loglevel INFO --hostname worker@%h"
    return [
        Command("web", _argv(f"{web} --timeout-graceful-shutdown 3 --lifespan off"), grace_s=GRACE_S["web"]),
        Command("worker", _argv(f"{worker} --without-gossip --without-mingle"), grace_s=GRACE_S["worker"]),
        Command(
            "scheduler",
            [*_argv(f"{celery} beat --loglevel WARNING"), "--pidfile", ""],
            grace_s=GRACE_S["scheduler"],
        ),
    ]


def _argv(words: str) -> list[str]:
    return [sys.executable, *words.split()]


def embedded_postgres_wanted() -> bool:
    return not (os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"))


def embedded_redis_wanted() -> bool:
    return not (os.environ.get("REDIS_URL") or os.environ.get("REDIS_URL_FILE"))


def databases_prepare(home: Home, ports: Ports) -> None:
    """The control plane's database and Pulumi's, each with an owner of its own; their URLs as secret files."""
    server, superpassword = postgres_server(home, ports), home.secret("postgres_password")
    password = home.secret("database_password")
    database_ensure(server, superpassword, database="freehold", owner="freehold", owner_password=password)
    url = postgres_url(server, password, "freehold", user="freehold")
    file_write_private(home.secrets / "database_url", url)

    # Every run writes stack states as a role of its own (controlplane/operations/fence.py).
    password = home.secret("pulumi_database_password")
    administered_database_ensure(
        server,
        superpassword,
        database="pulumi_state",
        owner="pulumi_owner",
        login="pulumi_state",
        login_password=password,
    )
    url = postgres_url(server, password, "pulumi_state", user="pulumi_state")
    url = f"{url.replace('postgresql://', 'postgres://', 1)}?sslmode=disable"
    file_write_private(home.secrets / "pulumi_backend_url", url)


def redis_url_write(home: Home, ports: Ports) -> None:
    file_write_private(
        home.secrets / "redis_url", redis_url(redis_server(home, ports), home.secret("redis_password"))
    )


def service_environment(home: Home, ports: Ports) -> dict[str, str]:
    """What our own services and management commands run with. Secrets given as variables become files (0600): an
    environment is read by whoever may look at a process, and inherited by children that have no business with it."""
    return {
        **_secrets_as_files(home),
        "DJANGO_SETTINGS_MODULE": "controlplane.config.settings",
        "FREEHOLD_HOME": str(home.root),
        "FREEHOLD_PORT": str(ports.web),
        "FREEHOLD_TENANT_PORT_BASE": str(ports.tenant_base),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
    }


def _secrets_as_files(home: Home) -> dict[str, str]:
    folder = home.secrets / "environment"
    environment = dict(os.environ)
    given = [name for name in SECRET_VARIABLES if environment.get(name)]
    if given:
        folder.mkdir(mode=0o700, exist_ok=True)
    for name in given:
        value = environment.pop(name)
        # Named by its content: a command run with another value must not change what services restart with.
        path = folder / f"{name}.{hashlib.sha256(value.encode()).hexdigest()[:12]}"
        if not path.exists():
            file_write_private(path, value)
        environment[f"{name}_FILE"] = str(path)
    return environment


def service_mark(home: Home, name: str) -> str:
    return str(home.run / name)


def service_identity_path(home: Home, name: str) -> Path:
    return home.run / f"{name}.identity.json"
