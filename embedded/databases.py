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
