"""Both SDK clients behind one face, so that each step of the tour is written once; and what they were asked for.

Needs nothing but langgraph_sdk, because another version of it runs this file too.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from langgraph_sdk import get_client, get_sync_client

PARTS = ("assistants", "threads", "runs", "crons", "store")


def public_methods(client: Any) -> set[str]:
    """`part.method` of everything a caller may use."""
    found = set()
    for part in PARTS:
        kind = type(getattr(client, part))
        for name, _ in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_"):
                found.add(f"{part}.{name}")
    return found


class _Part:
    def __init__(self, real: Any, name: str, called: set[str]) -> None:
        self._real, self._name, self._called = real, name, called

    def __getattr__(self, method: str) -> Any:
        target = getattr(self._real, method)
        self._called.add(f"{self._name}.{method}")

        async def call(*args: Any, **options: Any) -> Any:
            answer = target(*args, **options)
            return await answer if inspect.isawaitable(answer) else answer

        return call


class Uniform:
    """`await client.threads.get(...)` for either client; streams are read with `parts()`."""

    def __init__(self, kind: str, url: str, key: str) -> None:
        make = get_client if kind == "async" else get_sync_client
        self.kind = kind
        self.real: Any = make(url=url, api_key=key, timeout=30)
        self.called: set[str] = set()

    def __getattr__(self, part: str) -> Any:
        return _Part(getattr(self.real, part), part, self.called)

    async def close(self) -> None:
        if self.kind == "async":
            await self.real.aclose()
        else:
            self.real.close()


async def parts(stream: Any) -> AsyncIterator[Any]:
    """Every part of a stream, whichever client it is of. `stream` may still have to be awaited."""
    found = await stream if inspect.isawaitable(stream) else stream
    if isinstance(found, Iterator):
        for part in found:
            yield part
    else:
        async for part in found:
            yield part


async def all_of(stream: Any) -> list[Any]:
    return [part async for part in parts(stream)]
