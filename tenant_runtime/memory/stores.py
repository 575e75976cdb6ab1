"""Which vector store RUNTIME_VECTOR_URL names."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

from tenant_runtime.database import Pool, pool_open
from tenant_runtime.database_login import UrlLogin
from tenant_runtime.memory.pgvector import PgVectorStore
from tenant_runtime.memory.qdrant import QdrantStore
from tenant_runtime.memory.vector_store import VectorStore
from tenant_runtime.memory.weaviate import WeaviateStore
from tenant_runtime.settings import Settings

#: Scheme -> (store, how it is spoken to, its usual port).
HTTP_STORES: Final[dict[str, tuple[type[WeaviateStore] | type[QdrantStore], str, int]]] = {
    "weaviate": (WeaviateStore, "http", 8080),
    "weaviates": (WeaviateStore, "https", 443),
    "qdrant": (QdrantStore, "http", 6333),
    "qdrants": (QdrantStore, "https", 6333),
}


@asynccontextmanager
async def vector_store_open(settings: Settings, pool: Pool) -> AsyncIterator[VectorStore]:
    """The store, closed at the end. Without RUNTIME_VECTOR_URL it is pgvector in the runtime's own database.

    A Postgres that does not answer is DatabaseUnready; the others are asked first when they are needed.
    """
    url = settings.vector_url
    if url is None:
        yield await _pgvector(pool)
        return
    parts = urlsplit(url)
    if parts.scheme not in HTTP_STORES:
        size = max(2, settings.pool_size // 2)
        async with pool_open(UrlLogin(url, label="RUNTIME_VECTOR_URL"), size) as own:
            yield await _pgvector(own)
        return
    kind, scheme, port = HTTP_STORES[parts.scheme]
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname
    store = kind(f"{scheme}://{host}:{parts.port or port}", api_key=settings.vector_api_key)
    try:
        yield store
    finally:
        await store.close()


async def _pgvector(pool: Pool) -> PgVectorStore:
    store = PgVectorStore(pool)
    await store.extension_ensure()
    return store
