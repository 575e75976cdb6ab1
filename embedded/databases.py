"""Roles and databases of a Postgres server: made when missing, brought to the wanted password when there."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from embedded.postgres import PostgresServer, postgres_query

_SCRAM_ITERATIONS = 4096

_ROLE_SQL = """
SELECT format('CREATE ROLE %I LOGIN', :'owner')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \\gexec
ALTER ROLE :"owner" NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'verifier';
"""
_DATABASE_SQL = """
SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'owner')
    WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \\gexec
ALTER DATABASE :"database" OWNER TO :"owner";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
"""
_EXTENSION_SQL = 'CREATE EXTENSION IF NOT EXISTS :"extension";\n'


def database_ensure(
    server: PostgresServer,
    password: str,
    *,
    database: str,
    owner: str | None = None,
    owner_password: str | None = None,
    extensions: Sequence[str] = (),
) -> None:
    """Make the database exist, owned by `owner` (an ordinary role with that password) or by the superuser.

    Idempotent. Extensions are created in it by the superuser. Only the owner and superusers may connect.
    ServerSetupError when the server refuses.
    """
    if owner is not None and owner_password is None:
        raise ValueError("an owner needs a password")
    script = [_set("owner", owner if owner is not None else server.superuser), _set("database", database)]
    if owner_password is not None:
        script += [_set("verifier", scram_verifier(owner_password)), _ROLE_SQL]
    script.append(_DATABASE_SQL)
    if extensions:
        script.append("\\connect :database\n")
        for extension in extensions:
            script += [_set("extension", extension), _EXTENSION_SQL]
    postgres_query(server, password, "".join(script))


_ADMINISTERED_SQL = """
SELECT format('CREATE ROLE %I NOLOGIN', :'owner')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') \\gexec
SELECT format('CREATE ROLE %I LOGIN', :'login')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \\gexec
ALTER ROLE :"login" NOSUPERUSER NOCREATEDB CREATEROLE PASSWORD :'verifier';
GRANT :"owner" TO :"login" WITH ADMIN OPTION;
GRANT pg_signal_backend TO :"login";
ALTER ROLE :"login" SET role = :"owner";
"""
_ADOPT_SQL = """\\connect :database
REASSIGN OWNED BY :"login" TO :"owner";
"""


def administered_database_ensure(
    server: PostgresServer, password: str, *, database: str, owner: str, login: str, login_password: str
) -> None:
    """Make the database exist, owned by the role `owner` that nobody logs in as; `login` acts as that owner by
    default, and may make further logins that do, and end their connections.

    Idempotent; what `login` itself owned before becomes the owner's. ServerSetupError when the server refuses.
    """
    script = [_set("owner", owner), _set("login", login), _set("database", database)]
    script += [_set("verifier", scram_verifier(login_password)), _ADMINISTERED_SQL, _DATABASE_SQL, _ADOPT_SQL]
    postgres_query(server, password, "".join(script))


_LOGIN_SQL = """
SELECT format('CREATE ROLE %I LOGIN', :'login')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'login') \\gexec
ALTER ROLE :"login" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD :'verifier';
GRANT :"owner" TO :"login";
ALTER ROLE :"login" SET role = :'owner';
"""
# No login first, then its connections, so that none comes back; the owner itself stays, as it owns the tables.
_RETIRE_SQL = """
SELECT format('ALTER ROLE %I NOLOGIN PASSWORD NULL', rolname) FROM pg_roles
    WHERE rolcanlogin AND rolname <> :'keep'
    AND (rolname = :'owner' OR rolname ~ ('^' || :'owner' || '_g[0-9]+$')) \\gexec
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity JOIN pg_roles ON rolname = usename
    WHERE NOT rolcanlogin AND (rolname = :'owner' OR rolname ~ ('^' || :'owner' || '_g[0-9]+$'));
\\connect :database
SELECT format('REASSIGN OWNED BY %1$I TO %2$I; DROP OWNED BY %1$I; DROP ROLE %1$I', rolname, :'owner') FROM pg_roles
    WHERE rolname <> :'keep' AND rolname ~ ('^' || :'owner' || '_g[0-9]+$') \\gexec
"""


def login_ensure(
    server: PostgresServer, password: str, *, login: str, owner: str, login_password: str
) -> None:
    """Make a role that logs in and acts as `owner`, with that password. Idempotent.

    What it makes belongs to the owner, unless it asks otherwise.
    """
    script = [_set("login", login), _set("owner", owner), _set("verifier", scram_verifier(login_password))]
    postgres_query(server, password, "".join([*script, _LOGIN_SQL]))


def logins_retire(server: PostgresServer, password: str, *, database: str, owner: str, keep: str) -> None:
    """Nobody but `keep` logs in as or for `owner` any more; others' connections are ended. Idempotent.

    What a login made in its own name becomes the owner's: nothing goes with it.
    """
    names = [_set("database", database), _set("owner", owner), _set("keep", keep)]
    postgres_query(server, password, "".join([*names, _RETIRE_SQL]))


def scram_verifier(password: str) -> str:
    """What Postgres would store for the password: sent instead of it, so the server never sees the text."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _SCRAM_ITERATIONS)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()

    def encoded(part: bytes) -> str:
        return base64.b64encode(part).decode()

    return f"SCRAM-SHA-256${_SCRAM_ITERATIONS}:{encoded(salt)}${encoded(stored_key)}:{encoded(server_key)}"


def _set(variable: str, value: str) -> str:
    """A psql variable: psql itself quotes it where a statement uses it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"\\set {variable} '{escaped}'\n"
