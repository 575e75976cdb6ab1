"""How a vector store is asked over HTTP: within a deadline, a bounded number of times, with failures in words.

Weaviate's and Qdrant's own clients are left out: both bring gRPC, and Weaviate's asks by nothing else, on a second
port. Their REST interfaces do all that the port in vector_store.py wants.
"""

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any, Final

import httpx

from tenant_runtime.errors import Unavailable

log = logging.getLogger(__name__)

#: For one question with all its tries.
DEADLINE_S: Final = 15.0
TRY_S: Final = 6.0
CONNECT_S: Final = 2.0
TRIES: Final = 3
PAUSE_S: Final = 0.2
#: What a store, or a proxy before it, answers when it may be better in a moment.
_PASSING: Final = frozenset({429, 502, 503, 504})
_REFUSED: Final = frozenset({401, 403})
_MESSAGE_KEPT: Final = 200


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any


class VectorHttp:
    """Asks one store. Every question is one that may be asked twice: each has the same effect when repeated."""

    def __init__(self, url: str, *, product: str, headers: dict[str, str]) -> None:
        self.product = product
        # No redirects: the key goes to the configured address and nowhere else.
        self._http = httpx.AsyncClient(
            base_url=url,
            headers=headers,
            timeout=httpx.Timeout(TRY_S, connect=CONNECT_S),
            follow_redirects=False,
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self, method: str, path: str, body: Any = None, *, also: frozenset[int] = frozenset()
    ) -> Answer:
        """The answer when its status is 2xx or one of `also`, else Unavailable with what to do."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                response = await self._tried(method, path, body)
        except TimeoutError as error:
            raise self.failed(f"no answer within {DEADLINE_S:g} s") from error
        if response.status_code in _REFUSED:
            raise Unavailable(
                f"{self.product} refuses the API key (HTTP {response.status_code}): "
                "set RUNTIME_VECTOR_API_KEY to one that it allows",
                code="vector_store_refused",
            )
        try:
            found = response.json() if response.content else None
        except ValueError:
            found = None
        if response.is_success and (found is not None or not response.content):
            return Answer(response.status_code, found)
        if response.status_code in also:
            return Answer(response.status_code, found)
        raise self.failed(f"HTTP {response.status_code} {_message(found)}".strip())

    async def _tried(self, method: str, path: str, body: Any) -> httpx.Response:
        for attempt in range(1, TRIES + 1):
            failure: str
            try:
                response = await self._http.request(method, path, json=body)
                if response.status_code not in _PASSING:
                    return response
                failure = f"HTTP {response.status_code}"
            except httpx.HTTPError as error:
                failure = type(error).__name__
            if attempt < TRIES:
                await asyncio.sleep(PAUSE_S * 2 ** (attempt - 1))
        log.warning("vector store does not answer", extra={"error": failure, "tries": TRIES})
        raise self.failed(failure)

    def failed(self, how: str) -> Unavailable:
        return Unavailable(
            f"the vector store ({self.product}) failed: {how}", code="vector_store_unavailable"
        )


def _message(body: Any) -> str:
    """What the store says of its refusal, from the shapes of both."""
    match body:
        case (
            {"error": [{"message": str(message)}, *_]}
            | {"message": str(message)}
            | {"status": {"error": str(message)}}
        ):
            return message[:_MESSAGE_KEPT]
    return ""


def label(name: str, value: str) -> str:
    """One field as one string: what a store indexes. Both halves are quoted, so no field can pass for another,
    and nothing at either end is trimmed away."""
    return json.dumps([name, value], ensure_ascii=False, separators=(",", ":"))


def labels(fields: dict[str, str]) -> list[str]:
    return [label(name, value) for name, value in sorted(fields.items())]
