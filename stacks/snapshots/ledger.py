"""What of a runtime's database does not go back in time with a restore.

Which keys are good, what was done and which usage was reported are facts about the world, not about the snapshot's
moment: a key revoked since stays revoked, and usage reported since is neither lost nor reported again under ids that
a restored database no longer knows. A tenant that gets another's data keeps its own keys and its own outbox.
"""

from typing import Any

import psycopg
from psycopg import sql

from contracts.runtime import AUDIT_TABLE, KEYS_TABLE, OUTBOX_TABLE
from stacks.snapshots.postgres import connection_to

_RESTORED = "restored"
_RESTORED_DETAIL = "the tenant's data was restored to a moment at which this run had not ended"


def ledger_carry(living_url: str, restored_url: str, *, same_tenant: bool) -> str:
    """Brings the living ledger into the restored database; a sentence on what could not be. The runtime must stand
    still. psycopg.Error when the restored database refuses."""
    said = ""
    with connection_to(restored_url) as restored:
        tables = [KEYS_TABLE, OUTBOX_TABLE, *([AUDIT_TABLE] if same_tenant else [])]
        for table in tables:
            if not _exists(restored, table):
                continue
            try:
                with connection_to(living_url) as living, restored.transaction():
                    if _exists(living, table):
                        _replace(living, restored, table)
                        continue
            except psycopg.OperationalError:
                if restored.broken:
                    raise
            said += _without(restored, table, same_tenant=same_tenant)
        _runs_end(restored)
    return said


def _without(restored: "psycopg.Connection[Any]", table: str, *, same_tenant: bool) -> str:
    """The living table cannot be read: keys are all dropped, since a revoked one must not come back."""
    if table == KEYS_TABLE or (table == OUTBOX_TABLE and not same_tenant):
        restored.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(table)))
    if table == KEYS_TABLE:
        return " The runtime's keys could not be read, so none is valid any more: issue new ones."
    return f" {table} is as it was in the snapshot."


def _replace(living: "psycopg.Connection[Any]", restored: "psycopg.Connection[Any]", table: str) -> None:
    theirs, ours = _columns(living, table), _columns(restored, table)
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in ours if name in theirs)
    name = sql.Identifier(table)
    restored.execute(sql.SQL("TRUNCATE {}").format(name))
    reading = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(columns, name)
    writing = sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)
    with living.cursor().copy(reading) as source, restored.cursor().copy(writing) as target:
        for piece in source:
            target.write(piece)
    for column in ours.values():
        if column["identity"]:
            # The next number must be above every carried one.
            restored.execute(
                sql.SQL(
                    "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 1), max({}) IS NOT NULL) FROM {}"
                ).format(
                    sql.Literal(f"public.{table}"),
                    sql.Literal(column["name"]),
                    sql.Identifier(column["name"]),
                    sql.Identifier(column["name"]),
                    name,
                )
            )


def _columns(connection: "psycopg.Connection[Any]", table: str) -> dict[str, dict[str, Any]]:
    rows = connection.execute(
        "SELECT attname, attidentity <> '' FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 "
        "AND NOT attisdropped ORDER BY attnum",
        [f"public.{table}"],
    ).fetchall()
    return {name: {"name": name, "identity": identity} for name, identity in rows}


def _runs_end(restored: "psycopg.Connection[Any]") -> None:
    """What waited or ran at the snapshot's moment has run since: it must not run, and be paid for, twice."""
    if not _exists(restored, "runs"):
        return
    rows = restored.execute(
        "UPDATE runs SET status = 'error', error_code = %s, error_detail = %s, ended_at = now(), "
        "updated_at = now() WHERE status IN ('pending', 'running') RETURNING thread_id",
        [_RESTORED, _RESTORED_DETAIL],
    ).fetchall()
    if rows:
        restored.execute(
            "UPDATE threads SET status = 'error', updated_at = now() WHERE status = 'busy' AND thread_id = ANY(%s)",
            [[row[0] for row in rows]],
        )


def _exists(connection: "psycopg.Connection[Any]", table: str) -> bool:
    row = connection.execute("SELECT to_regclass(%s) IS NOT NULL", [f"public.{table}"]).fetchone()
    return bool(row and row[0])
