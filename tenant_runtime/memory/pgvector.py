"""The vector store in Postgres with the `vector` extension: one table a collection, cosine distance, HNSW."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import Error, sql
from psycopg.types.json import Jsonb
from psycopg_pool import PoolTimeout

from tenant_runtime.database import LOCK_VECTOR, Connection, Pool
from tenant_runtime.errors import DatabaseUnready, Unavailable
from tenant_runtime.memory.vector_store import VectorMatch, VectorRecord, collection_check, size_refused


def vector_literal(vector: list[float]) -> str:
    """pgvector's text form; nine digits are more than a 4-byte float holds."""
    return "[" + ",".join(f"{value:.9g}" for value in vector) + "]"


class PgVectorStore:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self.pool.connection(timeout=5) as conn:
                yield conn
        except (PoolTimeout, Error) as error:
            raise Unavailable(
                f"the vector store failed: {type(error).__name__}", code="vector_store_unavailable"
            ) from error

    @staticmethod
    def _table(collection: str) -> sql.Identifier:
        return sql.Identifier(f"memory_{collection_check(collection)}")

    async def extension_ensure(self) -> None:
        """Creates the extension, or raises DatabaseUnready with what is wanted."""
        try:
            async with self.pool.connection() as conn, conn.transaction():
                await conn.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_VECTOR])
                await conn.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except Error as error:
            raise DatabaseUnready(
                "RUNTIME_VECTOR_URL: found a server without the extension `vector`, or a user who may not create "
                "it; wanted a Postgres with pgvector 0.5 or newer"
            ) from error

    async def ensure(self, collection: str, dimensions: int) -> None:
        table = self._table(collection)
        async with self._connection() as conn, conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_VECTOR])
            await conn.execute(
                sql.SQL(
                    "CREATE TABLE IF NOT EXISTS {} (id text PRIMARY KEY, text text NOT NULL, "
                    "fields jsonb NOT NULL, embedding vector({}) NOT NULL)"
                ).format(table, sql.Literal(int(dimensions)))
            )
            for name, clause in (
                ("embedding", "USING hnsw (embedding vector_cosine_ops)"),
                ("fields", "USING gin (fields jsonb_path_ops)"),
            ):
                await conn.execute(
                    sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ").format(
                        sql.Identifier(f"memory_{collection}_{name}"), table
                    )
                    + sql.SQL(clause)
                )
            row = await (
                await conn.execute(
                    "SELECT atttypmod AS n FROM pg_attribute WHERE attrelid = %s::regclass AND attname = 'embedding'",
                    [f"memory_{collection}"],
                )
            ).fetchone()
        if row is not None and row["n"] != dimensions:
            raise size_refused(collection, holds=row["n"], given=dimensions)

    async def upsert(self, collection: str, records: list[VectorRecord]) -> None:
        statement = sql.SQL(
            "INSERT INTO {} (id, text, fields, embedding) VALUES (%s, %s, %s, %s::vector) ON CONFLICT (id) DO "
            "UPDATE SET text = excluded.text, fields = excluded.fields, embedding = excluded.embedding"
        ).format(self._table(collection))
        rows = [(r.id, r.text, Jsonb(r.fields), vector_literal(r.vector)) for r in records]
        async with self._connection() as conn, conn.transaction(), conn.cursor() as cursor:
            await cursor.executemany(statement, rows)

    async def query(
        self, collection: str, vector: list[float], *, limit: int, where: dict[str, str] | None = None
    ) -> list[VectorMatch]:
        statement = sql.SQL(
            "SELECT id, text, fields, 1 - (embedding <=> %(v)s::vector) AS score FROM {} "
            "WHERE %(where)s::jsonb IS NULL OR fields @> %(where)s::jsonb "
            "ORDER BY embedding <=> %(v)s::vector LIMIT %(limit)s"
        ).format(self._table(collection))
        values = {"v": vector_literal(vector), "where": Jsonb(where) if where else None, "limit": limit}
        async with self._connection() as conn:
            cursor = await conn.execute(statement, values)
            return [
                VectorMatch(r["id"], r["text"], r["fields"], float(r["score"]))
                for r in await cursor.fetchall()
            ]

    async def fetch(self, collection: str, *, where: dict[str, str], limit: int) -> list[VectorMatch]:
        statement = sql.SQL("SELECT id, text, fields FROM {} WHERE fields @> %s ORDER BY id LIMIT %s").format(
            self._table(collection)
        )
        async with self._connection() as conn:
            cursor = await conn.execute(statement, [Jsonb(where), limit])
            return [
                VectorMatch(row["id"], row["text"], row["fields"], 0.0) for row in await cursor.fetchall()
            ]

    async def delete(self, collection: str, *, where: dict[str, str]) -> int:
        if not where:
            raise ValueError("refusing to delete a whole collection: name at least one field")
        statement = sql.SQL("DELETE FROM {} WHERE fields @> %s").format(self._table(collection))
        async with self._connection() as conn:
            return (await conn.execute(statement, [Jsonb(where)])).rowcount

    async def health(self) -> str:
        async with self._connection() as conn:
            cursor = await conn.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            row = await cursor.fetchone()
        if row is None:
            raise Unavailable("the extension `vector` is gone", code="vector_store_unavailable")
        return f"pgvector {row['extversion']}"
