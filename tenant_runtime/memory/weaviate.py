"""The vector store in Weaviate, by its REST interface: one class a collection, cosine distance, HNSW.

Fields are free, and a class's properties are not: each field is kept as a label in a list that is indexed, and all
of them once more as they were. The size of the vectors stands in the class's description, since Weaviate learns it
only from the first object.
"""

import json
import re
import uuid
from typing import Any, Final

from tenant_runtime.errors import DatabaseUnready
from tenant_runtime.memory.vector_http import VectorHttp, label, labels
from tenant_runtime.memory.vector_store import VectorMatch, VectorRecord, collection_check, size_refused

BATCH: Final = 100
_IDS: Final = uuid.UUID("6f1b1f0e-4f6b-5d0c-9a3e-1d5f0c7a2b64")
_SIZE: Final = re.compile(r"vectors of (\d+) numbers")
_ABSENT: Final = frozenset({404})
_EXISTS: Final = frozenset({422})


class WeaviateStore:
    def __init__(self, url: str, *, api_key: str | None) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = VectorHttp(url, product="Weaviate", headers=headers)
        self._sizes: dict[str, int] = {}

    async def close(self) -> None:
        await self._http.close()

    async def ensure(self, collection: str, dimensions: int) -> None:
        name = _class(collection)
        size = await self._size(name)
        if size is None:
            # 422: another replica made it between the look and this; what is there now is looked at.
            await self._http.ask("POST", "/v1/schema", _schema(name, dimensions), also=_EXISTS)
            size = await self._size(name)
        if size is None:
            raise self._http.failed(f"it did not make the class {name}")
        if size != dimensions:
            raise size_refused(collection, holds=size, given=dimensions)
        self._sizes[collection] = size

    async def _size(self, name: str) -> int | None:
        """The size of the vectors in the class; None when there is no such class."""
        answer = await self._http.ask("GET", f"/v1/schema/{name}", also=_ABSENT)
        if answer.status in _ABSENT:
            return None
        found = _SIZE.search(str(answer.body.get("description", "")))
        if found is None:
            raise DatabaseUnready(
                f"RUNTIME_VECTOR_URL: found a class {name} that this runtime has not made; wanted a Weaviate of "
                "the tenant's own"
            )
        return int(found[1])

    async def upsert(self, collection: str, records: list[VectorRecord]) -> None:
        name = _class(collection)
        self._sizes_check(collection, [record.vector for record in records])
        for start in range(0, len(records), BATCH):
            objects = [_object(name, record) for record in records[start : start + BATCH]]
            answer = await self._http.ask("POST", "/v1/batch/objects", {"objects": objects})
            for item in answer.body:
                if errors := (item.get("result") or {}).get("errors"):
                    raise self._http.failed(_first(errors.get("error")))

    async def query(
        self, collection: str, vector: list[float], *, limit: int, where: dict[str, str] | None = None
    ) -> list[VectorMatch]:
        name = _class(collection)
        self._sizes_check(collection, [vector])
        arguments = f"nearVector: {{vector: {json.dumps(vector)}}}, limit: {int(limit)}"
        if where:
            arguments += f", where: {_where(where)}"
        return [
            _match(row, 1.0 - float(row["_additional"]["distance"]))
            for row in await self._get(name, arguments, "_additional { distance }")
        ]

    async def fetch(self, collection: str, *, where: dict[str, str], limit: int) -> list[VectorMatch]:
        order = 'sort: [{path: ["record"], order: asc}]'
        arguments = f"limit: {int(limit)}, {order}" + (f", where: {_where(where)}" if where else "")
        return [_match(row, 0.0) for row in await self._get(_class(collection), arguments)]

    async def _get(self, name: str, arguments: str, more: str = "") -> list[dict[str, Any]]:
        query = f"{{ Get {{ {name}({arguments}) {{ record text fields {more} }} }} }}"
        answer = await self._http.ask("POST", "/v1/graphql", {"query": query})
        if errors := answer.body.get("errors"):
            raise self._http.failed(_first(errors))
        rows: list[dict[str, Any]] = answer.body["data"]["Get"][name] or []
        return rows

    async def delete(self, collection: str, *, where: dict[str, str]) -> int:
        if not where:
            raise ValueError("refusing to delete a whole collection: name at least one field")
        condition = {"path": ["labels"], "operator": "ContainsAll", "valueTextArray": labels(where)}
        match = {"match": {"class": _class(collection), "where": condition}, "output": "minimal"}
        removed = 0
        while True:
            results = (await self._http.ask("DELETE", "/v1/batch/objects", match)).body["results"]
            removed += int(results["successful"])
            if results["failed"]:
                raise self._http.failed(f"{results['failed']} objects were not deleted")
            # It removes at most `limit` objects at once.
            if int(results["matches"]) < int(results["limit"]):
                return removed

    async def health(self) -> str:
        return f"Weaviate {(await self._http.ask('GET', '/v1/meta')).body['version']}"

    def _sizes_check(self, collection: str, vectors: list[list[float]]) -> None:
        """Weaviate takes any size for the first object of a class, so it is checked here."""
        size = self._sizes.get(collection)
        if size is not None and any(len(vector) != size for vector in vectors):
            raise self._http.failed(f"{collection!r} holds vectors of {size} numbers, and got others")


def _class(collection: str) -> str:
    return f"Memory_{collection_check(collection)}"


def _schema(name: str, dimensions: int) -> dict[str, Any]:
    plain = {"dataType": ["text"], "indexFilterable": False, "indexSearchable": False}
    # Tokenized as one whole field: a label is found as it is, and not by its words.
    whole = {"tokenization": "field", "indexFilterable": True, "indexSearchable": False}
    return {
        "class": name,
        "description": f"Long-term memory of a Freehold runtime: vectors of {dimensions} numbers.",
        "vectorizer": "none",
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": {"distance": "cosine"},
        "properties": [
            {"name": "record", "dataType": ["text"], **whole},
            {"name": "labels", "dataType": ["text[]"], **whole},
            {"name": "text", **plain},
            {"name": "fields", **plain},
        ],
    }


def _object(name: str, record: VectorRecord) -> dict[str, Any]:
    return {
        "class": name,
        "id": str(uuid.uuid5(_IDS, f"{name}/{record.id}")),
        "vector": record.vector,
        "properties": {
            "record": record.id,
            "labels": labels(record.fields),
            "text": record.text,
            "fields": json.dumps(record.fields, ensure_ascii=False),
        },
    }


def _where(where: dict[str, str]) -> str:
    # A JSON string is a GraphQL string too, once nothing but controls, quotes and backslashes is escaped.
    values = ", ".join(json.dumps(label(*item), ensure_ascii=False) for item in sorted(where.items()))
    return f'{{path: ["labels"], operator: ContainsAll, valueText: [{values}]}}'


def _match(row: dict[str, Any], score: float) -> VectorMatch:
    return VectorMatch(row["record"], row["text"], json.loads(row["fields"]), score)


def _first(errors: Any) -> str:
    match errors:
        case [{"message": str(message)}, *_]:
            return message[:200]
    return "an error without words"
