"""The port every vector store is reached by; `pgvector.py`, `weaviate.py` and `qdrant.py` are behind it."""

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenant_runtime.errors import DatabaseUnready

_COLLECTION: Final = re.compile(r"^[a-z][a-z0-9_]{0,40}$")


@dataclass(frozen=True)
class VectorRecord:
    """`fields` are strings a query can filter on; `id` is unique in its collection."""

    id: str
    vector: list[float]
    text: str
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VectorMatch:
    """`score` is cosine similarity, 1.0 for the same direction."""

    id: str
    text: str
    fields: dict[str, str]
    score: float


class VectorStore(Protocol):
    """Every method raises Unavailable when the store does not answer."""

    async def ensure(self, collection: str, dimensions: int) -> None:
        """Makes the collection if it is missing; safe from several replicas at once.

        DatabaseUnready when it holds vectors of another size.
        """
        ...

    async def upsert(self, collection: str, records: list[VectorRecord]) -> None:
        """Writes all records over what has their ids. After a failure some may be written, except in pgvector."""
        ...

    async def query(
        self, collection: str, vector: list[float], *, limit: int, where: dict[str, str] | None = None
    ) -> list[VectorMatch]:
        """The nearest records whose fields contain `where`, best first."""
        ...

    async def fetch(self, collection: str, *, where: dict[str, str], limit: int) -> list[VectorMatch]:
        """Records by fields alone, ordered by id; their score is 0."""
        ...

    async def delete(self, collection: str, *, where: dict[str, str]) -> int:
        """Removes what matches; returns how many. An empty `where` is refused: that would be everything."""
        ...

    async def health(self) -> str:
        """A short description of the answering store."""
        ...


def collection_check(collection: str) -> str:
    """The name itself; ValueError when it could mean something else to a store."""
    if not _COLLECTION.match(collection):
        raise ValueError(f"not a collection name: {collection!r}")
    return collection


def size_refused(collection: str, *, holds: int, given: int) -> DatabaseUnready:
    return DatabaseUnready(
        f"long-term memory {collection!r} holds vectors of {holds} numbers, the embedding model makes {given}: "
        "set MODEL_EMBEDDING_NAME back, or erase and ingest again"
    )
