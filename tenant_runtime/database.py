"""The runtime's Postgres: one pool, numbered SQL migrations, and the list of advisory locks."""

import asyncio
import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from psycopg import AsyncConnection, OperationalError, sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tenant_runtime.database_login import Login
from tenant_runtime.errors import DatabaseUnready

log = logging.getLogger(__name__)

Pool = AsyncConnectionPool[AsyncConnection[DictRow]]
Connection = AsyncConnection[DictRow]

#: Advisory lock ids of this deployable; an id is never reused for something else.
LOCK_MIGRATE: Final = 7_203_001
LOCK_PUSH: Final = 7_203_002
LOCK_SWEEP: Final = 7_203_003
LOCK_VECTOR: Final = 7_203_004
LOCK_CLAIM: Final = 7_203_005
LOCK_RESEAL: Final = 7_203_006
#: First half of the two-part lock every live process holds: for replicas of a version without leases.
LOCK_PROCESS: Final = 7_203

#: A worker that stops in the middle of a transaction (paused, or cut off) keeps its rows locked no longer than this,
#: which is less than a run's lease: its successor must not wait for it.
IDLE_TRANSACTION_MS: Final = 3000

MIGRATIONS = Path(__file__).parent / "migrations"


@asynccontextmanager
async def pool_open(login: Login, size: int, *, prepared: bool = False) -> AsyncIterator[Pool]:
    """A pool of autocommitting dict-row connections, or DatabaseUnready when the server does not answer.

    `prepared` is for statements over tables no migration of ours changes: a replica of a newer version
    altering a table under a prepared statement would make it fail.
    """

    class LoggedIn(AsyncConnection[DictRow]):
        """The pool connects by class; each new connection asks the login, whose password may have changed."""

        @classmethod
        async def connect(cls, conninfo: str = "", **options: Any) -> Self:
            return await login.connect(super().connect, **options)

    pool: Pool = AsyncConnectionPool(
        connection_class=LoggedIn,
        min_size=1,
        max_size=size,
        open=False,
        timeout=5,
        name=login.label,
        kwargs={
            "autocommit": True,
            "row_factory": dict_row,
            "prepare_threshold": 0 if prepared else None,
            "connect_timeout": 5,
        },
        configure=_configure,
        check=_check,
    )
    try:
        await pool.open(wait=True, timeout=10)
    except (PoolTimeout, OperationalError) as error:
        await pool.close()
        raise DatabaseUnready(
            f"{login.label}: no connection within 10 s; check the address and the server"
        ) from error
    try:
        yield pool
    finally:
        await pool.close(timeout=5)


async def _configure(conn: Connection) -> None:
    await conn.execute(sql.SQL("SET idle_in_transaction_session_timeout = {}").format(IDLE_TRANSACTION_MS))


async def _check(conn: Connection) -> None:
    """Raises when the server has ended the connection. One system call, not a question to the server each time."""
    poll = select.poll()
    poll.register(conn.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        # It said something unasked: a notice, or its farewell.
        await AsyncConnectionPool.check_connection(conn)


def migrations_list() -> list[tuple[int, str, str]]:
    """(number, name, sql) of every file `NNNN_name.sql`, in order."""
    files = sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql"))
    return [(int(path.name[:4]), path.stem, path.read_text(encoding="utf-8")) for path in files]


@asynccontextmanager
async def migration_lock(pool: Pool) -> AsyncIterator[Connection]:
    """The connection that holds the migration lock; replicas take turns.

    Tries instead of blocking: a replica blocked in a lock statement holds a snapshot, and CREATE INDEX
    CONCURRENTLY (LangGraph's own migrations) in the replica that has the lock would wait for it: a deadlock.
    """
    async with pool.connection() as conn:
        while True:
            cursor = await conn.execute("SELECT pg_try_advisory_lock(%s) AS got", [LOCK_MIGRATE])
            row = await cursor.fetchone()
            if row is not None and row["got"]:
                break
            await asyncio.sleep(0.05)
        try:
            yield conn
        finally:
            await conn.execute("SELECT pg_advisory_unlock(%s)", [LOCK_MIGRATE])


async def migrations_apply(conn: Connection) -> int:
    """Applies what is missing in one transaction; returns how many. Call under `migration_lock`."""
    applied = 0
    async with conn.transaction():
        await conn.execute(
            "CREATE TABLE IF NOT EXISTS runtime_migrations ("
            "number integer PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = await (await conn.execute("SELECT number FROM runtime_migrations")).fetchall()
        known = {row["number"] for row in rows}
        available = migrations_list()
        ahead = known - {number for number, _, _ in available}
        if ahead:
            raise DatabaseUnready(
                f"the database has migration {max(ahead)}, this version ends at {len(available)}: "
                "deploy the newer runtime, or restore the older database"
            )
        for number, name, sql in available:
            if number in known:
                continue
            await conn.execute(sql)
            await conn.execute(
                "INSERT INTO runtime_migrations (number, name) VALUES (%s, %s)", [number, name]
            )
            applied += 1
    if applied:
        log.info("migrations applied", extra={"count": applied})
    return applied
