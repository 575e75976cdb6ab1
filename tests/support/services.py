"""The real Postgres and Redis that a test run uses: started once, in a temporary folder, gone afterwards."""

import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from embedded.databases import database_ensure
from embedded.ports import free_port
from embedded.postgres import (
    PostgresServer,
    postgres_init,
    postgres_ready,
    postgres_start,
    postgres_stop,
    postgres_url,
)
from embedded.redis import RedisServer, redis_ready, redis_start, redis_stop, redis_url


@dataclass(frozen=True)
class RunningPostgres:
    server: PostgresServer
    password: str

    def url(self, database: str = "postgres") -> str:
        return postgres_url(self.server, self.password, database)

    def create(self, database: str, *, extensions: tuple[str, ...] = ()) -> str:
        """Makes a database and returns its URL."""
        database_ensure(self.server, self.password, database=database, extensions=extensions)
        return self.url(database)


@dataclass(frozen=True)
class RunningRedis:
    server: RedisServer
    password: str

    def url(self, database: int = 0) -> str:
        return redis_url(self.server, self.password, database)


@dataclass
class TestServices:
    """Starts on first use; `stop` ends both and removes the folder."""

    __test__ = False
    root: Path
    postgres: RunningPostgres
    redis: RunningRedis

    @classmethod
    def start(cls) -> "TestServices":
        root = Path(tempfile.mkdtemp(prefix="freehold-test-"))
        postgres = PostgresServer(
            data_dir=root / "postgres", port=free_port(), log_path=root / "postgres.log", max_connections=200
        )
        password = secrets.token_urlsafe(16)
        postgres_init(postgres, password=password)
        postgres_start(postgres)
        postgres_ready(postgres, password, 30)
        redis_dir = root / "redis"
        redis_dir.mkdir()
        redis = RedisServer(dir=redis_dir, port=free_port(), log_path=root / "redis.log")
        redis_start(redis, password=password)
        redis_ready(redis, password, 10)
        return cls(root, RunningPostgres(postgres, password), RunningRedis(redis, password))

    def stop(self) -> None:
        redis_stop(self.redis.server, 5)
        postgres_stop(self.postgres.server, 10)
        shutil.rmtree(self.root, ignore_errors=True)
