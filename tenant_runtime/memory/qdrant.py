"""The vector store in Qdrant, by its REST interface: one collection each, cosine distance, HNSW."""

import uuid
from typing import Any, Final

from tenant_runtime.errors import DatabaseUnready
from tenant_runtime.memory.vector_http import VectorHttp, label, labels
from tenant_runtime.memory.vector_store import VectorMatch, VectorRecord, collection_check, size_refused

BATCH: Final = 100
PAGE: Final = 500
_IDS: Final = uuid.UUID("0d0c6f3a-93d2-5a5d-8a53-0b7f4c2f9e11")
_ABSENT: Final = frozenset({404})
#: Both are said of a collection that exists already: the newer servers' answer, and the older ones'.
_EXISTS: Final = frozenset({409, 400})


class QdrantStore:
    def __init__(self, url: str, *, api_key: str | None) -> None:
        self._http = VectorHttp(url, product="Qdrant", headers={"api-key": api_key} if api_key else {})

    async def close(self) -> None:
        await self._http.close()

    async def ensure(self, collection: str, dimensions: int) -> None:
        path = _path(collection)
        size = await self._size(path)
        if size is None:
            wanted = {"vectors": {"size": dimensions, "distance": "Cosine"}}
            # Another replica may make it between the look and this; what is there now is looked at.
            await self._http.ask("PUT", path, wanted, also=_EXISTS)
            size = await self._size(path)
        if size is None:
            raise self._http.failed("it did not make the collection")
        if size != dimensions:
            raise size_refused(collection, holds=size, given=dimensions)
        # Each time, in case whoever made the collection died in between; an index that is there stays.
        index = {"field_name": "labels", "field_schema": "keyword"}
        await self._http.ask("PUT", f"{path}/index?wait=true", index)

    async def _size(self, path: str) -> int | None:
        answer = await self._http.ask("GET", path, also=_ABSENT)
        if answer.status in _ABSENT:
            return None
        match answer.body:
            case {"result": {"config": {"params": {"vectors": {"size": int(size), "distance": "Cosine"}}}}}:
                return size
        raise DatabaseUnready(
            f"RUNTIME_VECTOR_URL: found a collection at {path} that this runtime has not made; wanted a Qdrant of "
            "the tenant's own"
        )

    async def upsert(self, collection: str, records: list[VectorRecord]) -> None:
        path = _path(collection)
        for start in range(0, len(records), BATCH):
            points = [_point(collection, record) for record in records[start : start + BATCH]]
            await self._http.ask("PUT", f"{path}/points?wait=true", {"points": points})

    async def query(
        self, collection: str, vector: list[float], *, limit: int, where: dict[str, str] | None = None
    ) -> list[VectorMatch]:
        asked = {"query": vector, "limit": limit, "with_payload": True, **_filter(where or {})}
        answer = await self._http.ask("POST", f"{_path(collection)}/points/query", asked)
        return [_match(point, float(point["score"])) for point in answer.body["result"]["points"]]

    async def fetch(self, collection: str, *, where: dict[str, str], limit: int) -> list[VectorMatch]:
        """Qdrant orders by numbers alone, so everything that matches is read and ordered here."""
        asked: dict[str, Any] = {"limit": PAGE, "with_payload": True, "with_vector": False, **_filter(where)}
        found: list[VectorMatch] = []
        while True:
            answer = await self._http.ask("POST", f"{_path(collection)}/points/scroll", asked)
            found += [_match(point, 0.0) for point in answer.body["result"]["points"]]
            following = answer.body["result"].get("next_page_offset")
            if following is None:
                return sorted(found, key=lambda match: match.id)[:limit]
            asked["offset"] = following

    async def delete(self, collection: str, *, where: dict[str, str]) -> int:
        """Qdrant does not say how many it removed: they are counted just before."""
        if not where:
            raise ValueError("refusing to delete a whole collection: name at least one field")
        path, matching = _path(collection), _filter(where)
        counted = await self._http.ask("POST", f"{path}/points/count", {"exact": True, **matching})
        await self._http.ask("POST", f"{path}/points/delete?wait=true", matching)
        return int(counted.body["result"]["count"])

    async def health(self) -> str:
        # The greeting is open to everybody; the list of collections is not, so the key is tried as well.
        version = (await self._http.ask("GET", "/")).body["version"]
        await self._http.ask("GET", "/collections")
        return f"Qdrant {version}"


def _path(collection: str) -> str:
    return f"/collections/memory_{collection_check(collection)}"


def _point(collection: str, record: VectorRecord) -> dict[str, Any]:
    payload = {
        "record": record.id,
        "text": record.text,
        "fields": record.fields,
        "labels": labels(record.fields),
    }
    return {
        "id": str(uuid.uuid5(_IDS, f"{collection}/{record.id}")),
        "vector": record.vector,
        "payload": payload,
    }


def _filter(where: dict[str, str]) -> dict[str, Any]:
    """Labels instead of paths into `fields`: a field's name may hold a dot."""
    if not where:
        return {}
    return {
        "filter": {
            "must": [{"key": "labels", "match": {"value": label(*item)}} for item in sorted(where.items())]
        }
    }


def _match(point: dict[str, Any], score: float) -> VectorMatch:
    payload = point["payload"]
    return VectorMatch(payload["record"], payload["text"], dict(payload["fields"]), score)
