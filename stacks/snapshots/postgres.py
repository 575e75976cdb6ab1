"""One database of a tenant: dumped as of one moment, brought into a fresh one, and compared with what was dumped.

All of it runs as the database's owner. A dump may hold functions of the tenant's, and they must not run with more
rights than the tenant has; the superuser only makes, renames and drops databases.
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from contracts.snapshot import StoreFile, TableFacts
from embedded.postgres import postgres_binary, postgres_url
from stacks.providers.local.units import PostgresUnit
from stacks.snapshots.errors import RestoreFailed, SnapshotFailed
from stacks.snapshots.progress import Progress
from stacks.snapshots.sealing import FRAME, SealedWriter, sealed_read

_CONNECT_S: Final = 10
_LOCK_WAIT: Final = "30s"
#: How values become text must be the same where they are dumped and where they are compared.
_TEXT_FORM: Final = (
    "SET TIME ZONE 'UTC'",
    "SET datestyle = 'ISO, MDY'",
    "SET intervalstyle = 'postgres'",
    "SET bytea_output = 'hex'",
    "SET extra_float_digits = 1",
    "SET search_path = pg_catalog",
    f"SET lock_timeout = '{_LOCK_WAIT}'",
)
_TABLES: Final = """
SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                  AND d.deptype = 'e')
ORDER BY 1, 2
"""
_FACTS: Final = """
SELECT count(*), coalesce(sum(('x' || left(md5(t::text), 15))::bit(60)::bigint), 0),
       coalesce(sum(('x' || right(md5(t::text), 15))::bit(60)::bigint), 0) FROM ONLY {} t
"""


def owner_url(unit: PostgresUnit, database: str | None = None) -> str:
    """What the owner connects with, to the unit's own database or to another one."""
    parts = urlsplit(str(unit.computed()["url"]))
    return urlunsplit(parts if database is None else parts._replace(path=f"/{database}"))


def superuser_url(unit: PostgresUnit, database: str = "postgres") -> str:
    return postgres_url(unit.server, str(unit.computed()["superuser_password"]), database)


@contextmanager
def connection_to(url: str, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(url, connect_timeout=_CONNECT_S, **options) as connection:
        yield connection


def database_dump(
    unit: PostgresUnit, path: Path, *, component: Any, key: str, progress: Progress
) -> StoreFile:
    """Dumps the unit's database into one sealed file, and counts what is in it, both as of the same moment."""
    try:
        with connection_to(owner_url(unit)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            row = connection.execute("SELECT pg_export_snapshot()").fetchone()
            assert row is not None
            with SealedWriter(path, key=key, name=path.name) as sealed:
                _dump_into(sealed, owner_url(unit), str(row[0]), progress)
            tables = _tables(connection, progress)
    except psycopg.Error as error:
        raise SnapshotFailed(f"{component} could not be read: {_said(error)}") from error
    return StoreFile(
        name=path.name,
        component=component,
        bytes=sealed.bytes,
        sha256=sealed.sha256,
        items=sum(facts.rows for facts in tables.values()),
        tables=tables,
    )


def database_facts(url: str, progress: Progress) -> dict[str, TableFacts]:
    """Rows and digest of every table, as of one moment."""
    with connection_to(url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        return _tables(connection, progress)


def _tables(connection: psycopg.Connection[Any], progress: Progress) -> dict[str, TableFacts]:
    for statement in _TEXT_FORM:
        connection.execute(statement)
    found: dict[str, TableFacts] = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        progress.alive()
        row = connection.execute(sql.SQL(_FACTS).format(sql.Identifier(schema, table))).fetchone()
        assert row is not None
        found[f"{schema}.{table}"] = TableFacts(rows=int(row[0]), digest=f"{row[1]}:{row[2]}")
    return found


def database_make(unit: PostgresUnit, name: str) -> None:
    """An empty database of that name for the unit's owner, with its extensions; an older one of the name goes."""
    database, owner = sql.Identifier(name), sql.Identifier(unit.inputs.owner)
    login = unquote(urlsplit(owner_url(unit)).username or unit.inputs.owner)
    with connection_to(superuser_url(unit), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(database))
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0").format(database, owner))
        connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, sql.Identifier(login))
        )
    with connection_to(superuser_url(unit, name), autocommit=True) as connection:
        for extension in unit.inputs.extensions:
            connection.execute(sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension)))


def database_drop(unit: PostgresUnit, name: str) -> None:
    with connection_to(superuser_url(unit), autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def database_load(
    unit: PostgresUnit, name: str, path: Path, file: StoreFile, *, key: str, progress: Progress
) -> None:
    """Makes the database and brings the dump in. RestoreFailed unless every table is as it was dumped."""
    try:
        database_make(unit, name)
        _restore_from(path, file, owner_url(unit, name), unit.inputs.owner, key=key, progress=progress)
        found = database_facts(owner_url(unit, name), progress)
    except psycopg.Error as error:
        raise RestoreFailed(f"{file.component} could not be restored: {_said(error)}") from error
    differing = [
        table for table in sorted({*file.tables, *found}) if file.tables.get(table) != found.get(table)
    ]
    if differing:
        raise RestoreFailed(f"{file.component} differs from what was dumped: {', '.join(differing[:10])}")


def _dump_into(sealed: SealedWriter, url: str, snapshot: str, progress: Progress) -> None:
    argv = ["--format=custom", "--compress=gzip:1", "--no-owner", "--no-privileges", "--no-comments"]
    argv += [f"--snapshot={snapshot}", f"--lock-wait-timeout={_LOCK_WAIT}", "--no-password"]
    with tempfile.TemporaryFile() as errors:
        process = _client(
            "pg_dump", argv, url, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            assert process.stdout is not None
            while piece := process.stdout.read(FRAME):
                progress.alive()
                sealed.write(piece)
            code = process.wait()
        finally:
            _end(process)
        if code != 0:
            progress.alive()
            raise SnapshotFailed(f"pg_dump ended with {code}: {_tail(errors)}")


def _restore_from(path: Path, file: StoreFile, url: str, owner: str, *, key: str, progress: Progress) -> None:
    argv = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--role={owner}"]
    argv += ["--no-password", f"--dbname={urlsplit(url).path.lstrip('/')}"]
    with tempfile.TemporaryFile() as errors:
        process = _client(
            "pg_restore", argv, url, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            assert process.stdin is not None
            try:
                for piece in sealed_read(path, key=key, name=file.name):
                    progress.alive()
                    process.stdin.write(piece)
                process.stdin.close()
            except BrokenPipeError:
                pass  # its own words say more than that it went away
            code = process.wait()
        finally:
            _end(process)
        if code != 0:
            progress.alive()
            raise RestoreFailed(f"pg_restore of {file.name} ended with {code}: {_tail(errors)}")


def _client(program: str, argv: list[str], url: str, **streams: Any) -> "subprocess.Popen[bytes]":
    """Address and password travel in the environment of this child alone."""
    parts = urlsplit(url)
    environment = {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "PGHOST": str(parts.hostname),
        "PGPORT": str(parts.port),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
        "PGCONNECT_TIMEOUT": str(_CONNECT_S),
    }
    mark = os.environ.get("FREEHOLD_UNIT")
    if mark is not None:  # so that it is found, and ended, should this process be killed
        environment["FREEHOLD_UNIT"] = mark
    return subprocess.Popen([str(postgres_binary(program)), *argv], env=environment, **streams)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None and not stream.closed:
            try:
                stream.close()
            except BrokenPipeError:
                continue


def _tail(errors: IO[bytes]) -> str:
    errors.seek(0)
    return errors.read().decode("utf-8", "replace").strip()[-1500:] or "without a word"


def _said(error: psycopg.Error) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
