"""How the runtime logs in to a Postgres: by a URL, or by a password that AWS keeps and changes."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

from psycopg import OperationalError
from psycopg.conninfo import make_conninfo

from tenant_runtime.aws_secrets import secret_reader
from tenant_runtime.errors import DatabaseUnready
from tenant_runtime.settings import ManagedDatabase, Settings

log = logging.getLogger(__name__)

#: The secret is fetched again at most this often, however many connections are refused.
RENEW_S: Final = 5.0
Connected = TypeVar("Connected")


class Login(Protocol):
    """`label` is the variable to name when the login fails."""

    label: str

    async def connect(self, via: Callable[..., Awaitable[Connected]], **options: Any) -> Connected:
        """What `via(conninfo, **options)` makes of it; psycopg's own errors."""
        ...


class UrlLogin:
    def __init__(self, url: str, *, label: str = "RUNTIME_DATABASE_URL") -> None:
        self._url, self.label = url, label

    async def connect(self, via: Callable[..., Awaitable[Connected]], **options: Any) -> Connected:
        return await via(self._url, **options)


@dataclass(frozen=True)
class Credentials:
    username: str
    password: str = field(repr=False)


class ManagedLogin:
    """The credentials of Secrets Manager, over TLS that checks the server's name.

    A connection whose password is refused fetches them again and tries once more; so a rotation is noticed by the
    first connection after it. Open connections live on: Postgres asks for a password only at the beginning.
    """

    label = "RUNTIME_DATABASE_SECRET_ARN"

    def __init__(self, database: ManagedDatabase, read: Callable[[], Awaitable[Credentials]]) -> None:
        self._database, self._read = database, read
        self._known: Credentials | None = None
        self._turn = asyncio.Lock()
        self._fetched = 0.0

    async def connect(self, via: Callable[..., Awaitable[Connected]], **options: Any) -> Connected:
        credentials = await self.credentials()
        try:
            return await via(self._conninfo(credentials), **options)
        except OperationalError as error:
            renewed = await self._renewed(credentials) if password_refused(error) else None
            if renewed is None:
                raise
        return await via(self._conninfo(renewed), **options)

    async def credentials(self) -> Credentials:
        """Fetched once; DatabaseUnready when Secrets Manager does not give them."""
        async with self._turn:
            if self._known is None:
                self._known = await self._read()
                self._fetched = time.monotonic()
            return self._known

    async def _renewed(self, refused: Credentials) -> Credentials | None:
        """Other credentials than those refused; None when there are none yet, or it is too early to ask again."""
        async with self._turn:
            if self._known is not None and self._known != refused:
                return self._known
            if time.monotonic() - self._fetched < RENEW_S:
                return None
            self._fetched = time.monotonic()
            try:
                found = await self._read()
            except DatabaseUnready as error:
                log.warning("database credentials could not be fetched again", extra={"reason": error.detail})
                return None
            if found == refused:
                log.warning("the database refuses the credentials that its secret holds")
                return None
            self._known = found
            log.info("database credentials fetched again after a rotation")
            return found

    def _conninfo(self, credentials: Credentials) -> str:
        return make_conninfo(
            host=self._database.host,
            port=self._database.port,
            dbname=self._database.name,
            user=credentials.username,
            password=credentials.password,
            sslmode="verify-full",
            sslrootcert=str(self._database.ca_file),
        )


def password_refused(error: OperationalError) -> bool:
    """Whether the server had asked for the password when the connection failed. libpq passes no SQLSTATE on, and
    the text is in the server's language."""
    return error.pgconn is not None and bool(error.pgconn.used_password)


async def login_open(settings: Settings) -> Login:
    """The login that the settings ask for; with a managed password, once it was fetched."""
    if settings.managed_database is None:
        assert settings.database_url is not None
        return UrlLogin(settings.database_url)
    fetch = secret_reader(settings.managed_database.secret_arn)

    async def read() -> Credentials:
        return Credentials(**await fetch())

    login = ManagedLogin(settings.managed_database, read)
    await login.credentials()
    return login
