"""A tenant's units without the engine: real Postgres, vector store and Redis, and the stand-in for a runtime."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import redis

from contracts.placement import LocalPlacement, LocalPorts
from contracts.runtime import RuntimeConfig
from contracts.snapshot import DataJob
from contracts.stack import StackSpec
from embedded.ports import free_port
from stacks.providers.local.handlers import HANDLERS
from stacks.snapshots.progress import Progress
from stacks.snapshots.sealing import key_make
from stacks.snapshots.stores import Stores, stores_of

MIGRATIONS = Path(__file__).resolve().parents[2] / "tenant_runtime" / "migrations"
KEY_OF = "INSERT INTO api_keys (id, name, prefix, token_sha256) VALUES (%s, %s, 'fhr_x', %s)"
EVENT = "INSERT INTO usage_outbox (source, id, body, state) VALUES (%s, %s, '{}', %s)"


class Steps:
    """Records the steps; `canceled` may be set to end the work."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str]] = []
        self.canceled = False
        self.progress = Progress(phase=lambda *words: self.seen.append(words), canceled=lambda: self.canceled)


@dataclass(frozen=True)
class Site:
    home: Path
    spec: StackSpec
    urls: dict[str, str]

    @classmethod
    def make(cls, home: Path, slug: str = "acme") -> "Site":
        """Units created and running, the runtime's tables migrated."""
        folder = home / "tenants" / slug
        ports = LocalPorts(
            postgres=free_port(), cache=free_port(), vector_store=free_port(), runtime=free_port()
        )
        spec = StackSpec(
            tenant_id=uuid4(), slug=slug, stack_name=slug, target="local", region="local", plan="starter",
            runtime=RuntimeConfig(version="0.1.0"),
            local=LocalPlacement(data_dir=str(folder), gpu_registry_dir=str(home / "gpus"), ports=ports),
        )  # fmt: skip

        def made(type_: str, part: str, component: str, port: int, **more: Any) -> dict[str, Any]:
            values = {"tenant": slug, "component": component, "data_dir": str(folder / part), "port": port}
            handler = HANDLERS[f"local:index:{type_}"]
            return dict(handler.create(handler.parse({**values, **more})))

        postgres = made("PostgresServer", "postgres", "postgres", ports.postgres)
        vectors = made(
            "PostgresServer", "vector", "vector_store", ports.vector_store,
            database="vectors", extensions=["vector"],
        )  # fmt: skip
        cache = made("RedisServer", "cache", "cache", ports.cache)
        urls = {"postgres": postgres["url"], "vectors": vectors["url"], "cache": cache["url"]}
        made(
            "RuntimeProcess", "runtime", "runtime", ports.runtime, version="0.1.0",
            database_url=urls["postgres"], redis_url=urls["cache"], vector_url=urls["vectors"],
            admin_key="admin-key-0123456789", usage_token="usage-token",
        )  # fmt: skip
        site = cls(home, spec, urls)
        for path in sorted(MIGRATIONS.glob("*.sql")):
            site.sql(path.read_text())
        site.sql("CREATE TABLE runtime_migrations (number integer PRIMARY KEY, name text NOT NULL)")
        site.sql("INSERT INTO runtime_migrations VALUES (1, '0001_runtime')")
        site.vector_sql("CREATE TABLE memory (id text PRIMARY KEY, embedding vector(3))")
        return site

    @property
    def stores(self) -> Stores:
        return stores_of(self.spec)

    def sql(self, statement: str, values: Any = None, *, url: str = "postgres") -> list[Any]:
        with psycopg.connect(self.urls[url], autocommit=True) as connection:
            cursor = connection.execute(statement, values)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def vector_sql(self, statement: str, values: Any = None) -> list[Any]:
        return self.sql(statement, values, url="vectors")

    def redis(self) -> "redis.Redis":
        return redis.Redis.from_url(self.urls["cache"])

    def rotate(self, generation: int) -> None:
        """New passwords beside the old ones, then the end of those."""
        stores = self.stores
        for name, unit in (
            ("postgres", stores.postgres),
            ("vectors", stores.vector_store),
            ("cache", stores.cache),
        ):
            handler = HANDLERS[f"local:index:{'RedisServer' if name == 'cache' else 'PostgresServer'}"]
            wanted = {**unit.inputs.plain(), "credentials": generation}
            self.urls[name] = str(handler.update(handler.parse(wanted))["url"])
        retirement = HANDLERS["local:index:CredentialRetirement"]
        folders = [str(unit.folder) for unit in (stores.postgres, stores.vector_store, stores.cache)]
        values = {"tenant": self.spec.slug, "folders": folders, "credentials": generation}
        assert retirement.create(retirement.parse(values))["retired"]

    def fill(self, rows: int = 50) -> None:
        """Rows with every awkward kind of value, vectors, keys of every kind."""
        self.sql(
            "INSERT INTO threads (thread_id, owner, metadata, remove_after) SELECT gen_random_uuid(), "
            "E'o''wn\\t' || n, jsonb_build_object('n', n, 'text', 'ü'), now() - n * interval '1 hour' "
            "FROM generate_series(1, %s) n",
            [rows],
        )
        self.vector_sql(
            "INSERT INTO memory SELECT 'm' || n, ('[' || n || ',0.1,-3.25e-5]')::vector FROM generate_series(1, %s) n",
            [rows],
        )
        with self.redis() as client:
            client.set("plain", b"\x00\xff bytes")
            client.set("freehold:acme:notes:1", "mine", ex=3600)
            client.rpush("list", *map(str, range(rows)))
            client.hset("hash", mapping={f"f{n}": n for n in range(rows)})
            client.sadd("set", *map(str, range(rows)))
            client.zadd("zset", {f"z{n}": n / 7 for n in range(rows)})
            client.xadd("stream", {"a": "1"})

    def content(self) -> dict[str, Any]:
        """All of the tenant's data but the ledger, in a form that compares."""
        with self.redis() as client:
            return {
                "threads": self.sql("SELECT * FROM threads ORDER BY thread_id"),
                "memory": self.vector_sql("SELECT id, embedding::text FROM memory ORDER BY id"),
                "keys": sorted(client.keys()),
                "hash": client.hgetall("hash"),
                "list": client.lrange("list", 0, -1),
                "plain": client.get("plain"),
                "stream": client.xrange("stream"),
            }

    def job(self, verb: Any, *, snapshot: DataJob | None = None, **changes: Any) -> DataJob:
        """A fresh job; with `snapshot`, one on the snapshot that job took."""
        snapshot_id: UUID | None = snapshot.snapshot_id if snapshot else uuid4()
        values = {
            "verb": verb,
            "restore_id": uuid4(),
            "snapshot_id": snapshot_id,
            "folder": snapshot.folder if snapshot else str(self.home / "snapshots" / "t" / str(snapshot_id)),
            "key": snapshot.key if snapshot else key_make(),
            "scratch": str(self.home / "operations" / str(uuid4()) / str(uuid4())),
        }
        return DataJob(**{**values, **changes})


def now() -> datetime:
    return datetime.now(UTC)


def alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")
