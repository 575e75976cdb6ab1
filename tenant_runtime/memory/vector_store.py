"""The port every vector store is reached by. `pgvector.py` is its first implementation."""

from dataclasses import dataclass, field
from typing import Protocol


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
        """Makes the collection if it is missing; safe from several replicas at once."""
        ...

    async def upsert(self, collection: str, records: list[VectorRecord]) -> None: ...

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
