"""Servers of one's own, named by DATABASE_URL and REDIS_URL: whether they answer, before anything is started."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from controlplane.cli.errors import CliError

TIMEOUT_S = 3


def externals_check() -> None:
    """CliError naming the variable, the host and the port of a server that does not answer; never the password."""
    if url := url_read("DATABASE_URL"):
        _postgres_check(url)
    if url := url_read("REDIS_URL"):
        _redis_check(url)


def url_read(name: str) -> str:
    """The variable, or the content of the file that NAME_FILE names; "" when neither is set."""
    if os.environ.get(name):
        return os.environ[name]
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(
            f"{name}_FILE: {path} cannot be read ({type(error).__name__}).", hint="Name a readable file."
        ) from error


def _postgres_check(url: str) -> None:
    import psycopg

    where = _where(url, "DATABASE_URL", 5432, ("postgres", "postgresql"))
    try:
        psycopg.connect(url, connect_timeout=TIMEOUT_S).close()
    except psycopg.Error as error:
        raise _unreachable("DATABASE_URL", "PostgreSQL", where, url, error) from error


def _redis_check(url: str) -> None:
    import redis

    where = _where(url, "REDIS_URL", 6379, ("redis", "rediss"))
    try:
        client = redis.Redis.from_url(url, socket_connect_timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S)
        try:
            client.ping()
        finally:
            client.close()
    except (redis.RedisError, OSError, ValueError) as error:
        raise _unreachable("REDIS_URL", "Redis", where, url, error) from error


def _where(url: str, name: str, default_port: int, schemes: tuple[str, ...]) -> str:
    """host:port of a URL. CliError when it is none of this kind; the URL itself is not repeated."""
    wanted = f"wanted {schemes[0]}://user:password@host:{default_port}/name"
    try:
        parts = urlsplit(url)
        port = parts.port or default_port
    except ValueError as error:
        raise CliError(f"{name} is not a URL; {wanted}.") from error
    if parts.scheme not in schemes:
        raise CliError(f"{name} does not begin with {schemes[0]}://; {wanted}.")
    return f"{parts.hostname or 'localhost'}:{port}"


def _unreachable(name: str, server: str, where: str, url: str, error: Exception) -> CliError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    password = urlsplit(url).password
    for secret in (password, unquote(password)) if password else ():
        reason = reason.replace(secret, "***")
    return CliError(
        f"{name}: no {server} to use at {where} ({reason}).",
        hint=f"Start that server or correct {name} (or {name}_FILE); without it, Freehold runs a {server} of its own.",
    )
