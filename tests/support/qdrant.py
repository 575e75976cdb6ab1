"""Stands in for a Qdrant server, whose binary is not to be had here: the part of its REST interface that the runtime
speaks, with the statuses, errors and shapes of Qdrant 1.20 as its API reference gives them. In memory, one API key.
"""

import json
import math
import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

VERSION = "1.20.0"
_ROUTE = re.compile(r"^/collections/(?P<name>[^/]+)(?P<rest>/.*)?$")


class Refused(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status


@dataclass
class Collection:
    size: int
    distance: str
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, str] = field(default_factory=dict)

    def checked(self, vector: Any) -> list[float]:
        if not isinstance(vector, list) or len(vector) != self.size:
            given = len(vector) if isinstance(vector, list) else 0
            raise Refused(400, f"Wrong input: Vector dimension error: expected dim: {self.size}, got {given}")
        return [float(value) for value in vector]

    def matching(self, wanted: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Points in the order of their ids, as scroll gives them."""
        conditions = (wanted or {}).get("must", [])
        return [
            self.points[id_]
            for id_ in sorted(self.points, key=lambda each: uuid.UUID(each).int)
            if all(_holds(self.points[id_]["payload"], condition) for condition in conditions)
        ]


def _holds(payload: dict[str, Any], condition: dict[str, Any]) -> bool:
    """A keyword match; of an array, one element suffices."""
    if set(condition) != {"key", "match"} or set(condition["match"]) != {"value"}:
        raise Refused(
            400, "Format error in JSON body: data did not match any variant of untagged enum Condition"
        )
    found = payload.get(condition["key"])
    wanted = condition["match"]["value"]
    return wanted in found if isinstance(found, list) else found == wanted


def _cosine(one: list[float], other: list[float]) -> float:
    norm = math.hypot(*one) * math.hypot(*other)
    return sum(a * b for a, b in zip(one, other, strict=True)) / norm if norm else 0.0


@dataclass
class QdrantStandIn:
    url: str = ""
    api_key: str = "qdrant-test-key"
    collections: dict[str, Collection] = field(default_factory=dict)
    fail_next: list[int | None] = field(default_factory=list)
    """Statuses that the next requests are answered with instead; None lets one through."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, body: Any) -> Any:
        if (method, path) == ("GET", "/"):
            return {"title": "qdrant - vector search engine", "version": VERSION, "commit": "stand-in"}
        if (method, path) == ("GET", "/collections"):
            return {"collections": [{"name": name} for name in self.collections]}
        route = _ROUTE.match(path)
        if route is None:
            raise Refused(404, "Not found")
        name, rest = route["name"], route["rest"] or ""
        if (method, rest) == ("PUT", ""):
            return self._create(name, body)
        found = self.collections.get(name)
        if found is None:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        match (method, rest):
            case ("GET", ""):
                vectors = {"size": found.size, "distance": found.distance}
                return {"status": "green", "config": {"params": {"vectors": vectors}}}
            case ("PUT", "/index"):
                found.indexes[body["field_name"]] = body["field_schema"]
            case ("PUT", "/points"):
                self._upsert(found, body["points"])
            case ("POST", "/points/query"):
                return {"points": self._query(found, body)}
            case ("POST", "/points/scroll"):
                return self._scroll(found, body)
            case ("POST", "/points/count"):
                return {"count": len(found.matching(body.get("filter")))}
            case ("POST", "/points/delete"):
                if "filter" not in body:
                    raise Refused(400, "Format error in JSON body: missing points selector")
                for point in found.matching(body["filter"]):
                    del found.points[point["id"]]
            case _:
                raise Refused(404, "Not found")
        return {"operation_id": 1, "status": "completed"}

    def _create(self, name: str, body: Any) -> bool:
        if name in self.collections:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        vectors = body["vectors"]
        if vectors["distance"] not in ("Cosine", "Euclid", "Dot", "Manhattan"):
            raise Refused(400, "Format error in JSON body: unknown distance")
        self.collections[name] = Collection(int(vectors["size"]), vectors["distance"])
        return True

    @staticmethod
    def _upsert(found: Collection, points: list[dict[str, Any]]) -> None:
        checked = [
            {"id": str(uuid.UUID(p["id"])), "vector": found.checked(p["vector"]), "payload": p["payload"]}
            for p in points
        ]
        found.points.update({point["id"]: point for point in checked})

    @staticmethod
    def _query(found: Collection, body: Any) -> list[dict[str, Any]]:
        vector = found.checked(body["query"])
        scored = [
            {"id": p["id"], "version": 0, "score": _cosine(vector, p["vector"]), "payload": p["payload"]}
            for p in found.matching(body.get("filter"))
        ]
        return sorted(scored, key=lambda point: -point["score"])[: body.get("limit", 10)]

    @staticmethod
    def _scroll(found: Collection, body: Any) -> dict[str, Any]:
        points = found.matching(body.get("filter"))
        if offset := body.get("offset"):
            points = [point for point in points if uuid.UUID(point["id"]).int >= uuid.UUID(offset).int]
        limit = body.get("limit", 10)
        following = points[limit]["id"] if len(points) > limit else None
        page = [{"id": point["id"], "payload": point["payload"]} for point in points[:limit]]
        return {"points": page, "next_page_offset": following}


def _handler(standin: QdrantStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            path = urlsplit(self.path).path
            if path != "/" and self.headers.get("api-key") != standin.api_key:
                self._send(401, b"Must provide an API key or an Authorization bearer token", "text/plain")
                return
            try:
                with standin.lock:
                    failure = standin.fail_next.pop(0) if standin.fail_next else None
                    if failure is not None:
                        raise Refused(failure, "Service internal error: told to fail")
                    found = standin.answer(self.command, path, body)
            except Refused as refused:
                shown = {"status": {"error": str(refused)}, "time": 0.0}
                self._send(refused.status, json.dumps(shown).encode())
                return
            greeting = path == "/"
            shown = found if greeting else {"result": found, "status": "ok", "time": 0.0}
            self._send(200, json.dumps(shown).encode())

        do_GET = do_PUT = do_POST = _serve

        def _send(self, status: int, body: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


@contextmanager
def qdrant_started(port: int = 0) -> Iterator[QdrantStandIn]:
    standin = QdrantStandIn()
    server = ThreadingHTTPServer(("127.0.0.1", port), _handler(standin))
    server.daemon_threads = True
    standin.url = f"qdrant://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
