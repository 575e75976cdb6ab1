"""Search by meaning over items that asked to be indexed; their vectors are in the tenant's vector store."""

import uuid
from typing import Any, Final

from tenant_runtime.memory.long_term import Embed
from tenant_runtime.memory.vector_store import VectorRecord, VectorStore

Row = dict[str, Any]
COLLECTION: Final = "store_items"
#: How many labels of a namespace a search by meaning can be narrowed by.
DEPTH: Final = 10
_WHOLE: Final = "$"
_TEXT_MAX: Final = 8000


def texts_of(value: Row, fields: list[str]) -> list[str]:
    """What is embedded: each field's strings. `$` is the whole value, `a.b` reaches inside, `a[*]` each of a list."""
    found: list[str] = []
    for path in fields:
        if path == _WHOLE:
            found.append(_text(value))
            continue
        level: list[Any] = [value]
        for part in path.replace("[*]", ".*").split("."):
            level = [inner for item in level for inner in _step(item, part)]
        found.extend(_text(item) for item in level)
    return [text[:_TEXT_MAX] for text in found if text]


def _step(item: Any, part: str) -> list[Any]:
    if part == "*":
        return item if isinstance(item, list) else []
    if isinstance(item, dict) and part in item:
        return [item[part]]
    return []


def _text(item: Any) -> str:
    if isinstance(item, str):
        return item
    if isinstance(item, dict):
        return "\n".join(f"{key}: {_text(inner)}" for key, inner in item.items())
    if isinstance(item, list):
        return "\n".join(_text(inner) for inner in item)
    return "" if item is None else str(item)


def _labels(owner: str | None, namespace: list[str]) -> dict[str, str]:
    labels = {f"n{depth}": label for depth, label in enumerate(namespace[:DEPTH])}
    return labels if owner is None else labels | {"owner": owner}


class StoreMeaning:
    def __init__(self, store: VectorStore) -> None:
        self._store = store
        self._size: int | None = None

    async def _ensure(self, size: int) -> None:
        if self._size != size:
            await self._store.ensure(COLLECTION, size)
            self._size = size

    async def put(self, row: Row, embed: Embed) -> None:
        """Replaces the item's vectors by those of its indexed fields."""
        item = str(row["item_id"])
        texts = texts_of(row["value"], row["indexed"] or [])
        vectors = (await embed(texts)).vectors if texts else []
        if vectors:
            await self._ensure(len(vectors[0]))
            await self._store.delete(COLLECTION, where={"item": item})
            labels = _labels(row["owner"], row["namespace"]) | {"item": item}
            await self._store.upsert(
                COLLECTION,
                [
                    VectorRecord(f"{item}:{number:04d}", vector, text, labels)
                    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
                ],
            )

    async def forget(self, item_id: uuid.UUID) -> None:
        await self._store.delete(COLLECTION, where={"item": str(item_id)})

    async def nearest(
        self, query: str, embed: Embed, *, owner: str | None, prefix: list[str], limit: int
    ) -> dict[uuid.UUID, float]:
        """Items near the query with their best score, best first."""
        vector = (await embed([query])).vectors[0]
        await self._ensure(len(vector))
        matches = await self._store.query(
            COLLECTION, vector, limit=limit, where=_labels(owner, prefix) or None
        )
        scores: dict[uuid.UUID, float] = {}
        for match in matches:
            scores.setdefault(uuid.UUID(match.fields["item"]), match.score)
        return scores
