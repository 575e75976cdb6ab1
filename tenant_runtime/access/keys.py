"""API keys: made here, shown once, kept as SHA-256 of a high-entropy token, compared in constant time."""

import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from psycopg.types.json import Jsonb

from tenant_runtime.database import Connection, Pool
from tenant_runtime.errors import NotFound

TOKEN_PREFIX: Final = "fhr_"  # noqa: S105 - the visible beginning of every key, not a secret
BOOTSTRAP: Final = "bootstrap"
Role = Literal["user", "admin"]


@dataclass(frozen=True)
class Principal:
    """`id` is what rows name as owner and usage events as user."""

    id: str
    role: Role


@dataclass(frozen=True)
class ApiKey:
    id: uuid.UUID
    name: str
    prefix: str
    created_at: datetime


def token_digest(token: str) -> bytes:
    """A plain hash is enough: tokens have 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(token.encode()).digest()


async def audit_write(conn: Connection, *, actor: str, action: str, object_: str, **detail: object) -> None:
    await conn.execute(
        "INSERT INTO audit_log (actor, action, object, detail) VALUES (%s, %s, %s, %s)",
        [actor, action, object_, Jsonb(detail)],
    )


class KeyRing:
    """Looks a presented token up: admin key, bootstrap key, then the table. A revoked key counts at once."""

    def __init__(self, pool: Pool, *, api_key: str | None, admin_key: str | None) -> None:
        self._pool = pool
        self._bootstrap = token_digest(api_key) if api_key else None
        self._admin = token_digest(admin_key) if admin_key else None

    @property
    def admin_enabled(self) -> bool:
        return self._admin is not None

    async def principal(self, token: str) -> Principal | None:
        """Who the token stands for; None when nobody."""
        digest = token_digest(token)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return Principal("admin", "admin")
        if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
            return Principal(BOOTSTRAP, "user")
        if not token.startswith(TOKEN_PREFIX):
            return None
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT id, token_sha256 FROM api_keys WHERE token_sha256 = %s AND revoked_at IS NULL",
                [digest],
            )
            row = await cursor.fetchone()
        if row is None or not hmac.compare_digest(bytes(row["token_sha256"]), digest):
            return None
        return Principal(f"key:{row['id']}", "user")

    async def create(self, *, name: str, actor: str) -> tuple[ApiKey, str]:
        """The key and its token; the token is nowhere else and cannot be shown again."""
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        key_id, prefix = uuid.uuid4(), token[: len(TOKEN_PREFIX) + 6]
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "INSERT INTO api_keys (id, name, prefix, token_sha256) VALUES (%s, %s, %s, %s) RETURNING created_at",
                [key_id, name, prefix, token_digest(token)],
            )
            row = await cursor.fetchone()
            assert row is not None
            await audit_write(conn, actor=actor, action="key.create", object_=str(key_id), name=name)
        return ApiKey(key_id, name, prefix, row["created_at"]), token

    async def all(self) -> list[ApiKey]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT id, name, prefix, created_at FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id"
            )
            return [ApiKey(**row) for row in await cursor.fetchall()]

    async def revoke(self, key_id: uuid.UUID, *, actor: str) -> None:
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                "UPDATE api_keys SET revoked_at = now() WHERE id = %s AND revoked_at IS NULL", [key_id]
            )
            if cursor.rowcount != 1:
                raise NotFound(f"no API key {key_id}")
            await audit_write(conn, actor=actor, action="key.revoke", object_=str(key_id))
