"""The fixture story: real servers for the whole run, Django pointed at them, and the three people.

Settings are read when Django loads, so the servers start and the environment is set at import, before
pytest-django looks.
"""

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.services import RunningPostgres, RunningRedis, TestServices

_services = TestServices.start()
_home = Path(tempfile.mkdtemp(prefix="freehold-home-", dir=_services.root))
os.environ.update(
    {
        "DJANGO_SETTINGS_MODULE": "controlplane.config.settings",
        "FREEHOLD_HOME": str(_home),
        "FREEHOLD_SECRET_KEY": secrets.token_urlsafe(48),
        "FREEHOLD_ENCRYPTION_KEYS": secrets.token_urlsafe(48),
        "DATABASE_URL": _services.postgres.url("freehold"),
        "REDIS_URL": _services.redis.url(),
        "PULUMI_BACKEND_URL": f"file://{_home}",
    }
)

import django  # noqa: E402 - settings are read from the environment set above

django.setup()

from django.db import connections  # noqa: E402
from django.db.backends.postgresql.operations import DatabaseOperations  # noqa: E402

# Threads of a test return pooled connections late, and would keep the test database from being dropped.
connections["default"].settings_dict["OPTIONS"].pop("pool", None)
(_home / "static").mkdir()

_sql_flush = DatabaseOperations.sql_flush


def _sql_flush_of_the_journal_too(self: DatabaseOperations, *args: Any, **kwargs: Any) -> list[str]:
    """The journal's trigger refuses TRUNCATE, by which tests with real transactions empty the tables. Triggers are
    silent for a replica, and only the superuser that tests run as may say that it is one."""
    statements = _sql_flush(self, *args, **kwargs)
    return ["SET LOCAL session_replication_role = replica;", *statements] if statements else statements


DatabaseOperations.sql_flush = _sql_flush_of_the_journal_too  # type: ignore[method-assign]

from django.conf import settings as django_settings  # noqa: E402

# The product hashes with Argon2, slow on purpose; a test run makes hundreds of people.
django_settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Workers begin as this process began: with the settings named already, Django would load there before this
    file has started servers of the worker's own, and use those of the process that only hands tests out."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


def pytest_unconfigure() -> None:
    _services.stop()


@pytest.fixture(scope="session")
def postgres_server() -> RunningPostgres:
    return _services.postgres


@pytest.fixture(scope="session")
def redis_server() -> RunningRedis:
    return _services.redis


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


pytest_plugins = [
    "tests.support.people",
    "tests.support.customers",
    "tests.support.house",
    "tests.support.runtimes",
    "tests.support.clouds",
    "tests.support.aws_account",
    "tests.support.cluster.fixture",
]
