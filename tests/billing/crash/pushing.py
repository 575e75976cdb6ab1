"""The runtime's own outbox and pusher in processes that can be killed and paused between any two of their steps.

The steps are marked from outside, by what the pusher does with its connection and its HTTP client: the runtime knows no
crash points.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from embedded.crashpoints import crash_point
from tenant_runtime.database import Pool, pool_open
from tenant_runtime.database_login import UrlLogin
from tenant_runtime.metering import pusher as product
from tenant_runtime.metering.outbox import Outbox
from tests.billing.crash.generator import Sent, Stream

#: A fact is written by one of so many tasks at a time.
WRITERS = 4
REPLICA = "0"


def push(command: dict[str, Any]) -> None:
    product.BACKOFF_FIRST_S, product.BACKOFF_MAX_S, product.IDLE_S = 0.02, 0.1, 0.05  # type: ignore[misc]
    product.BATCH = 20  # type: ignore[misc]
    asyncio.run(_push(command))


async def _push(command: dict[str, Any]) -> None:
    async with _pool(command) as pool:
        outbox = Outbox(pool, tenant=command["slug"], replica=REPLICA)
        pusher = product.Pusher(pool, outbox, url=command["url"], token="t")
        pusher._http = httpx.AsyncClient(timeout=2, transport=_Watched())
        original = pusher._push_batch
        pusher._push_batch = lambda conn, http: original(_Steps(conn), http)  # type: ignore[assignment,arg-type,method-assign]
        await pusher.run()


class _Watched(httpx.AsyncHTTPTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        crash_point("pusher.posting")
        response = await super().handle_async_request(request)
        await response.aread()
        crash_point("pusher.answered")
        return response


class _Steps:
    """The pusher's connection, with a moment after each step that matters."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn

    async def execute(self, query: Any, *arguments: Any) -> Any:
        reads = str(query).startswith("SELECT")
        crash_point("pusher.locked" if reads else "pusher.settling")
        cursor = await self._conn.execute(query, *arguments)
        if reads:
            crash_point("pusher.read")
        return cursor

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        async with self._conn.transaction():
            yield
        crash_point("pusher.settled")


def write(command: dict[str, Any]) -> None:
    asyncio.run(_write(command))
    Path(command["out"]).touch()


async def _write(command: dict[str, Any]) -> None:
    """Writes the first `facts` facts of the stream, each in a transaction of its own with what it reports; killed and
    begun anew it writes the same again, as an engine does that repeats a step. Transactions take their numbers in one
    order and commit in another."""
    facts = outbox_facts(stream_of(command), command["facts"])[command["first"] :]
    async with _pool(command) as pool:
        outbox = Outbox(pool, tenant=command["slug"], replica=REPLICA)
        waiting = iter(facts)
        await asyncio.gather(*[_write_some(pool, outbox, waiting) for _ in range(WRITERS)])


async def _write_some(pool: Pool, outbox: Outbox, waiting: Any) -> None:
    chance = random.Random()  # noqa: S311
    for fact in waiting:
        async with pool.connection() as conn, conn.transaction():
            await outbox.write(conn, id_=fact.event["id"], type_=fact.event["type"], data=fact.event["data"])
            await conn.execute("INSERT INTO fact (id) VALUES (%s) ON CONFLICT DO NOTHING", [fact.event["id"]])
            # Some hold their number for long before they commit, while others come and go.
            await asyncio.sleep(chance.choice([0, 0, 0.002, 0.05, 0.2]))


@asynccontextmanager
async def _pool(command: dict[str, Any]) -> AsyncIterator[Pool]:
    async with pool_open(UrlLogin(command["runtime_url"]), 6) as pool:
        yield pool


def stream_of(command: dict[str, Any]) -> Stream:
    return Stream(command["seed"], command["slug"], int(REPLICA), datetime.fromisoformat(command["at"]))


def outbox_facts(stream: Stream, count: int) -> list[Sent]:
    """The first events of a stream that happened; whatever else is in it an outbox cannot hold."""
    happened = (each for batch in stream.batches() for each in batch if each.outcome == "accepted")
    return list(itertools.islice(happened, count))
