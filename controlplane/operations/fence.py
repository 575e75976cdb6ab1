"""The fence around stack state: each lease reaches the state database through a Postgres role of its own.

A run that lost its lease may be paused, on another host, or wake up later; what stops its writes is the database,
not its manners. Barring takes the role's login away and ends its connections, and does so before anything else of a
takeover. Every role may become the owner of the state (`ALTER ROLE ... SET role`), so what one run makes, the next
may use.

Only a `postgres://` backend has roles, and only a login that may make them has a fence. Every run without one is told
in the worker's log: such a run is stopped by ending its processes alone.
"""

import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import UUID

import psycopg
import structlog
from django.conf import settings
from psycopg import sql

from controlplane.core.errors import OperatorError

log = structlog.get_logger()

ROLE_PREFIX = "freehold_run_"
CONNECT_TIMEOUT_S = 5
#: One role's DDL at a time: concurrent grants of one role end in "tuple concurrently updated".
_DDL_LOCK = 0x46_45_4E_43_45

_RIGHTS = """
SELECT owner.rolname,
       (login.rolsuper OR (login.rolcreaterole AND pg_has_role(login.oid, owner.oid, 'MEMBER WITH ADMIN OPTION')
                           AND pg_has_role(login.oid, 'pg_signal_backend', 'MEMBER')))
       AND NOT owner.rolsuper
  FROM pg_database, pg_roles AS owner, pg_roles AS login
 WHERE datname = current_database() AND owner.oid = datdba AND login.rolname = session_user
"""

# Roles belong to the whole server: another Freehold's there are members of another owner.
_ROLES = """
SELECT role.rolname
  FROM pg_roles AS role
  JOIN pg_auth_members AS membership ON membership.member = role.oid
  JOIN pg_database ON membership.roleid = datdba
 WHERE datname = current_database() AND starts_with(role.rolname, %s)
"""


def fence_raise(*, operation_id: UUID, lease_token: UUID) -> str:
    """Makes the lease's role and returns the backend URL to run with; where no fence can be had, the common URL.
    OperatorError when the state database does not answer."""
    if not _has_roles():
        return _unfenced(operation_id, "the state is not kept in Postgres")
    role, password = role_name(operation_id, lease_token), secrets.token_urlsafe(24)
    with _administration() as connection, connection.transaction():
        owner = _owner(connection)
        if owner is None:
            return _unfenced(
                operation_id, "the login of PULUMI_BACKEND_URL may not make roles, or owns too much"
            )
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_DDL_LOCK])
        name, owner_name = sql.Identifier(role), sql.Identifier(owner)
        # The verifier, not the password: statements may be logged.
        verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256")
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                name, sql.Literal(verifier.decode()), owner_name
            )
        )
        connection.execute(sql.SQL("ALTER ROLE {} SET role = {}").format(name, owner_name))
    return _with_login(settings.PULUMI_BACKEND_URL, role, password)


def fence_bar(*, operation_id: UUID, wait_s: float = 5.0) -> bool:
    """Takes every role of the operation its login and ends its connections, whoever's lease it is.

    True when none of them can write any more; False when there is no fence here. OperatorError when a connection
    survives `wait_s`.
    """
    if not _has_roles():
        return False
    with _administration() as connection:
        if _owner(connection) is None:
            return False
        roles = _roles(connection, f"{ROLE_PREFIX}{operation_id.hex}_")
        _bar(connection, roles, wait_s)
    return True


def fence_drop(*, operation_id: UUID, lease_token: UUID) -> None:
    """Removes the role of a lease that has ended; one that is gone is no error."""
    if _has_roles():
        with _administration() as connection:
            _drop(connection, _roles(connection, role_name(operation_id, lease_token)))


def fences_sweep(*, current: Callable[[], Collection[tuple[UUID, UUID]]]) -> int:
    """Removes the roles of all leases but the current (operation, lease) ones: what crashes left. How many.

    `current` is asked after the roles were read: a lease is there before its role is, so one that begins meanwhile
    is either in both or has a role that was not read. Asked before, a run that had just begun lost its role.
    """
    if not _has_roles():
        return 0
    with _administration() as connection:
        if _owner(connection) is None:
            return 0
        there = _roles(connection, ROLE_PREFIX)
        kept = {role_name(operation_id, token) for operation_id, token in current()}
        stale = [role for role in there if role not in kept]
        _drop(connection, stale)
    return len(stale)


def role_name(operation_id: UUID, lease_token: UUID) -> str:
    """At most 63 letters, as Postgres wants it."""
    return f"{ROLE_PREFIX}{operation_id.hex}_{lease_token.hex[:12]}"


def _unfenced(operation_id: UUID, why: str) -> str:
    log.warning("fence.unavailable", operation=str(operation_id), why=why, see="docs/adr/0010")
    url: str = settings.PULUMI_BACKEND_URL
    return url


def _has_roles() -> bool:
    return settings.PULUMI_BACKEND_URL.startswith("postgres")


@contextmanager
def _administration() -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of the login that owns the roles, as itself: its default role is the state's owner."""
    try:
        connection = psycopg.connect(
            settings.PULUMI_BACKEND_URL.replace("postgres://", "postgresql://", 1),
            connect_timeout=CONNECT_TIMEOUT_S,
            autocommit=True,
        )
    except psycopg.Error as error:
        raise _unavailable(error) from error
    try:
        with connection:
            connection.execute("SET ROLE NONE")
            connection.execute("SET statement_timeout = '15s'")
            yield connection
    except psycopg.OperationalError as error:
        raise _unavailable(error) from error


def _unavailable(error: Exception) -> OperatorError:
    return OperatorError(
        "The database of stack states does not answer.",
        code="state_unavailable",
        hint=f"Check PULUMI_BACKEND_URL and that server ({type(error).__name__}).",
    )


def _owner(connection: psycopg.Connection[tuple[object, ...]]) -> str | None:
    """The role that owns the state; None when this login may not make roles that become it."""
    row = connection.execute(_RIGHTS).fetchone()
    return str(row[0]) if row is not None and row[1] else None


def _roles(connection: psycopg.Connection[tuple[object, ...]], prefix: str) -> list[str]:
    rows = connection.execute(_ROLES, [prefix])
    return [str(row[0]) for row in rows]


def _bar(connection: psycopg.Connection[tuple[object, ...]], roles: list[str], wait_s: float) -> None:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_DDL_LOCK])
        for role in roles:
            connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
    deadline = time.monotonic() + wait_s
    # Twice empty in a row: a login that was being let in while we looked shows in the second look.
    empty = 0
    while roles and empty < 2:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = ANY(%s)", [roles]
        ).fetchall()
        empty = 0 if ended else empty + 1
        if time.monotonic() > deadline:
            raise OperatorError(
                "A barred run is still connected to the database of stack states.",
                code="state_not_fenced",
                hint="See pg_stat_activity for roles that begin with freehold_run_.",
            )
        time.sleep(0.05)


def _drop(connection: psycopg.Connection[tuple[object, ...]], roles: list[str]) -> None:
    if not roles:
        return
    _bar(connection, roles, 5.0)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_DDL_LOCK])
        for role in roles:
            connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def _with_login(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{quote(user)}:{quote(password, safe='')}@{place}"))
