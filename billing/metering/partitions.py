"""Monthly partitions of the raw events, made ahead by the schedule and on demand by ingest."""

from datetime import datetime

from django.db import IntegrityError, connection, transaction
from psycopg import errors, sql

from billing.period import month_start, next_month

#: Any number no other advisory lock of the control plane uses ("billing/partitions").
_LOCK = 0x62696C_70617274
_PARENT = "billing_usageeventchunk"


def partitions_ensure(*, at: datetime, ahead: int = 0) -> list[str]:
    """Makes the partition of `at`'s month and of `ahead` months after it. Returns the names it created.

    Call it before anything else in a transaction: creating waits for the writers of the parent table, and
    must not itself hold what they wait for.
    """
    created = []
    start = month_start(at)
    for _ in range(ahead + 1):
        end = next_month(start)
        name = f"{_PARENT}_y{start:%Y}m{start:%m}"
        if not _exists(name) and _create(name, start, end):
            created.append(name)
        start = end
    return created


def partition_missing(error: IntegrityError) -> bool:
    """Whether a row was refused since no partition takes its month."""
    return isinstance(error.__cause__, errors.CheckViolation) and "no partition" in str(error)


def _exists(name: str) -> bool:
    # Not to_regclass: inside a transaction it answers from a cache that does not see what others committed since.
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT EXISTS (
                SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                WHERE i.inhparent = %s::regclass AND c.relname = %s
            )
            """,
            [_PARENT, name],
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def _create(name: str, start: datetime, end: datetime) -> bool:
    """False when somebody else was faster; the lock makes everybody but the first find it there."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        if _exists(name):
            return False
        statement = sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES FROM ({}) TO ({})").format(
            sql.Identifier(name), sql.Identifier(_PARENT), sql.Literal(start), sql.Literal(end)
        )
        cursor.execute(statement.as_string(cursor.connection))
    return True
