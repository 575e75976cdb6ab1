"""API keys: made here, shown once, kept as SHA-256 of a high-entropy token, compared in constant time.

A key has a role, the user it stands for, and maybe an end. Two keys of one user see the same rows; a key without a
user is a user of its own.
"""

import hashlib
import hmac
import logging
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from psycopg import sql

from tenant_runtime.access.audit import audit_write
from tenant_runtime.access.principals import ADMIN_ID, BOOTSTRAP_ID, KEY_ID_PREFIX, Principal, Role
from tenant_runtime.access.public_keys import PublicKey
from tenant_runtime.access.tokens import TokenRefused, token_like, token_principal
from tenant_runtime.database import Pool
from tenant_runtime.errors import NotFound

log = logging.getLogger(__name__)

TOKEN_PREFIX: Final = "fhr_"  # noqa: S105 - the visible beginning of every key, not a secret
_COLUMNS: Final = sql.SQL("id, name, prefix, role, user_id, created_at, expires_at")

__all__ = ["ApiKey", "KeyRing", "Principal", "audit_write", "token_digest"]


@dataclass(frozen=True)
class ApiKey:
    """`user_id` None: the key's rows belong to the key itself. `expires_at` None: good until it is revoked."""

    id: uuid.UUID
    name: str
    prefix: str
    role: Role
    user_id: str | None
    created_at: datetime
    expires_at: datetime | None


def token_digest(token: str) -> bytes:
    """A plain hash is enough: tokens have 256 random bits, so there is nothing to guess slowly."""
    return hashlib.sha256(token.encode()).digest()


class KeyRing:
    """Looks up what was presented: admin key, bootstrap key, signed token, then the table of keys.

    A revoked key counts at once. A token cannot be revoked; it ends by itself (tokens.MAX_LIFE).
    """

    def __init__(
        self,
        pool: Pool,
        *,
        api_key: str | None,
        admin_key: str | None,
        token_keys: Mapping[str, PublicKey],
        token_issuer: str | None,
        tenant: str,
    ) -> None:
        self._pool = pool
        self._bootstrap = token_digest(api_key) if api_key else None
        self._admin = token_digest(admin_key) if admin_key else None
        self._token_keys, self._token_issuer, self._tenant = token_keys, token_issuer, tenant

    @property
    def admin_enabled(self) -> bool:
        """Whether anybody could administer: with the admin key, or by a token."""
        return self._admin is not None or bool(self._token_keys)

    async def principal(self, token: str) -> Principal | None:
        """Who the token stands for; None when nobody."""
        digest = token_digest(token)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return Principal(ADMIN_ID, "admin")
        if self._bootstrap is not None and hmac.compare_digest(digest, self._bootstrap):
            return Principal(BOOTSTRAP_ID, "operator")
        if token_like(token):
            return self._by_token(token, datetime.now(UTC))
        if not token.startswith(TOKEN_PREFIX):
            return None
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                "SELECT id, role, user_id, token_sha256 FROM api_keys WHERE token_sha256 = %s "
                "AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
                [digest],
            )
            row = await cursor.fetchone()
        if row is None or not hmac.compare_digest(bytes(row["token_sha256"]), digest):
            return None
        return Principal(row["user_id"] or f"{KEY_ID_PREFIX}{row['id']}", row["role"])

    def _by_token(self, token: str, now: datetime) -> Principal | None:
        try:
            return token_principal(
                token, keys=self._token_keys, issuer=self._token_issuer or "", audience=self._tenant, now=now
            )
        except TokenRefused as refused:
            log.info("token refused", extra={"reason": refused.reason})
            return None

    async def create(
        self,
        *,
        name: str,
        actor: str,
        role: Role = "user",
        user_id: str | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """The key and its token; the token is nowhere else and cannot be shown again.

        `user_id` is checked by the caller (principals.user_id_valid).
        """
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        key_id, prefix = uuid.uuid4(), token[: len(TOKEN_PREFIX) + 6]
        async with self._pool.connection() as conn, conn.transaction():
            cursor = await conn.execute(
                sql.SQL(
                    "INSERT INTO api_keys (id, name, prefix, token_sha256, role, user_id, expires_at) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {}"
                ).format(_COLUMNS),
                [key_id, name, prefix, token_digest(token), role, user_id, expires_at],
            )
            row = await cursor.fetchone()
            assert row is not None
            await audit_write(
                conn,
                actor=actor,
                action="key.create",
                object_=str(key_id),
                name=name,
                role=role,
                user=user_id,
            )
        return ApiKey(**row), token

    async def all(self) -> list[ApiKey]:
        async with self._pool.connection() as conn:
            cursor = await conn.execute(
                sql.SQL("SELECT {} FROM api_keys WHERE revoked_at IS NULL ORDER BY created_at, id").format(
                    _COLUMNS
                )
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
