"""Puts restored data in the place of the old, in one step for all stores of a tenant.

A restore loads everything beside what is there, then writes `restore.json` into the tenant's folder. That file is
the step: before it, the old data counts; from it on the new data does, and whoever meets it first (the restore, its
retry, a boot of the machine, the next apply) carries the renames out before the runtime may start. Each of them is
idempotent, so a kill anywhere leaves the one or the other, never a mixture.
"""

import json
import time
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import redis
from psycopg import sql

from embedded.postgres import postgres_url
from embedded.processes import file_write_private
from stacks.errors import UnitBroken
from stacks.providers.local.inputs import PostgresInputs, RedisInputs
from stacks.providers.local.unitfile import unit_lock, unit_read
from stacks.providers.local.units import PostgresUnit, RedisUnit, unit_start

JOURNAL: Final = "restore.json"
#: The last restore that was carried out, so that its retry knows.
DONE: Final = "restored.json"
CACHE_SIDE: Final = 1
CACHE_MARKER: Final = "freehold:restoring"
_SWAP_WAIT_S: Final = 30.0
_ANSWER_S: Final = 20.0


def side_name(database: str) -> str:
    """The database that a restore loads into."""
    return f"{database}_restoring"


def swap_commit(tenant: Path, *, restore_id: str) -> None:
    """The one step: from here on the restored data counts."""
    file_write_private(tenant / JOURNAL, json.dumps({"schema": 1, "restore": restore_id}))


def swap_done(tenant: Path) -> str:
    """The id of the last restore that was carried out; empty when there was none."""
    try:
        return str(json.loads((tenant / DONE).read_text())["restore"])
    except (OSError, ValueError, KeyError):
        return ""


def swap_finish(tenant: Path) -> bool:
    """Carries out what a commit began; False when there is nothing to do. UnitBroken when it cannot be done."""
    if not (tenant / JOURNAL).exists():
        return False
    with unit_lock(tenant):
        if not (tenant / JOURNAL).exists():
            return False
        try:
            for part in ("postgres", "vector"):
                _database_swap(_postgres(tenant / part))
            _cache_swap(_redis(tenant / "cache"))
        except (psycopg.Error, redis.RedisError) as error:
            raise UnitBroken(
                f"the restored data of {tenant.name} could not be put in place: {error}. The runtime stays down "
                "until it is: retry the restore, or `freehold up`"
            ) from error
        (tenant / JOURNAL).replace(tenant / DONE)
    return True


def _database_swap(unit: PostgresUnit) -> None:
    unit_start(unit)
    name = unit.inputs.database
    side, old = side_name(name), f"{name}_replaced"
    url = postgres_url(unit.server, str(unit.computed()["superuser_password"]), "postgres")
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        names = {row[0] for row in connection.execute("SELECT datname FROM pg_database").fetchall()}
        if side in names:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
            _rename(connection, name, old, side)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(old)))
    unit.settle()


def _rename(connection: "psycopg.Connection[tuple[object, ...]]", name: str, old: str, side: str) -> None:
    """Both renames or none. Who is connected is disconnected; who comes back at once is disconnected again."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    deadline = time.monotonic() + _SWAP_WAIT_S
    while True:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ANY(%s)", [[name, side]]
        )
        try:
            with connection.transaction():
                connection.execute(rename.format(sql.Identifier(name), sql.Identifier(old)))
                connection.execute(rename.format(sql.Identifier(side), sql.Identifier(name)))
        except psycopg.errors.ObjectInUse:
            if time.monotonic() >= deadline:
                raise
            continue
        return


def _cache_swap(unit: RedisUnit) -> None:
    unit_start(unit)
    url = str(unit.computed()["url"])
    with (
        cache_client(url, 0) as living,
        cache_client(url, CACHE_SIDE) as side,
    ):
        if side.exists(CACHE_MARKER):
            living.swapdb(0, CACHE_SIDE)
        if living.exists(CACHE_MARKER):
            side.flushdb()
            living.delete(CACHE_MARKER)


def cache_client(url: str, database: int) -> "redis.Redis":
    """A client of that database; the number in the URL itself would win over a parameter."""
    address = urlunsplit(urlsplit(url)._replace(path=f"/{database}"))
    return redis.Redis.from_url(address, socket_timeout=_ANSWER_S, socket_connect_timeout=_ANSWER_S)


def _postgres(folder: Path) -> PostgresUnit:
    file = unit_read(folder)
    if file is None:
        raise UnitBroken(f"{folder} holds no database to put restored data into")
    return PostgresUnit(PostgresInputs.model_validate(file.params))


def _redis(folder: Path) -> RedisUnit:
    file = unit_read(folder)
    if file is None:
        raise UnitBroken(f"{folder} holds no cache to put restored data into")
    return RedisUnit(RedisInputs.model_validate(file.params))
