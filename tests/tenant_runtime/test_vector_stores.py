"""The promises of the port, kept by every store: pgvector and Weaviate are real servers, Qdrant's is a stand-in."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from embedded.ports import free_port
from tenant_runtime.database import pool_open
from tenant_runtime.database_login import UrlLogin
from tenant_runtime.errors import DatabaseUnready, StartRefused, Unavailable
from tenant_runtime.memory import vector_http
from tenant_runtime.memory.stores import vector_store_open
from tenant_runtime.memory.vector_http import label
from tenant_runtime.memory.vector_store import VectorRecord, VectorStore
from tenant_runtime.settings import settings_read
from tests.support.qdrant import QdrantStandIn, qdrant_started
from tests.support.services import RunningPostgres
from tests.support.weaviate import RunningWeaviate, weaviate_started

KINDS = ["pgvector", pytest.param("weaviate", marks=pytest.mark.engine), "qdrant"]
RECORDS = [
    VectorRecord("a", [1.0, 0.0, 0.0], "x axis", {"kind": "axis", "n": "1"}),
    VectorRecord("b", [0.0, 2.0, 0.0], "y axis", {"kind": "axis", "n": "2"}),
    VectorRecord("c", [0.9, 0.1, 0.0], "nearly x", {"kind": "other", "n": "3"}),
]


@dataclass(frozen=True)
class Server:
    """One kind's server: how the runtime is told of it, and how its own settings say so."""

    kind: str
    environment: dict[str, str]

    @asynccontextmanager
    async def opened(self, **changes: str) -> AsyncIterator[VectorStore]:
        given = {"RUNTIME_DATABASE_URL": "postgresql://unused/unused", "RUNTIME_API_KEY": "k" * 20}
        settings = settings_read({**given, **self.environment, **changes})
        unused: Any = None
        async with vector_store_open(settings, unused) as store:
            yield store


@pytest.fixture(scope="module")
def weaviate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeaviate]:
    with weaviate_started(tmp_path_factory.mktemp("weaviate")) as running:
        yield running


@pytest.fixture(scope="module")
def qdrant() -> Iterator[QdrantStandIn]:
    with qdrant_started() as running:
        yield running


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    kind: str = request.param
    if kind == "pgvector":
        return Server(kind, {"RUNTIME_VECTOR_URL": request.getfixturevalue("new_database")()})
    running = request.getfixturevalue(kind)
    return Server(kind, {"RUNTIME_VECTOR_URL": running.url, "RUNTIME_VECTOR_API_KEY": running.api_key})


@pytest.fixture
async def store(server: Server) -> AsyncIterator[VectorStore]:
    async with server.opened() as opened:
        yield opened


@pytest.fixture
async def things(store: VectorStore) -> str:
    """A fresh collection for vectors of three numbers."""
    name = f"things_{uuid.uuid4().hex[:12]}"
    await store.ensure(name, 3)
    return name


async def test_two_replicas_make_a_collection_at_once(server: Server) -> None:
    name = f"raced_{uuid.uuid4().hex[:12]}"
    async with server.opened() as one, server.opened() as other:
        await asyncio.gather(*(store.ensure(name, 3) for store in (one, other, one, other)))
        await one.upsert(name, RECORDS)
        await other.ensure(name, 3)
        assert [match.id for match in await other.query(name, [1.0, 0.0, 0.0], limit=1)] == ["a"]


async def test_the_nearest_come_first(store: VectorStore, things: str) -> None:
    assert await store.query(things, [1.0, 0.0, 0.0], limit=5) == []
    await store.upsert(things, RECORDS)
    found = await store.query(things, [2.0, 0.0, 0.0], limit=2)
    assert [(match.id, match.text, match.fields) for match in found] == [
        ("a", "x axis", {"kind": "axis", "n": "1"}),
        ("c", "nearly x", {"kind": "other", "n": "3"}),
    ]
    assert found[0].score == pytest.approx(1.0, abs=1e-5)
    assert found[1].score == pytest.approx(0.9 / (0.82**0.5), abs=1e-5)
    everything = await store.query(things, [1.0, 0.0, 0.0], limit=5)
    assert everything[-1].id == "b"
    assert everything[-1].score == pytest.approx(0.0, abs=1e-5)


async def test_fields_filter_whatever_is_in_them(store: VectorStore, things: str) -> None:
    await store.upsert(things, RECORDS)
    near = await store.query(things, [1.0, 0.0, 0.0], limit=5, where={"kind": "axis"})
    assert [match.id for match in near] == ["a", "b"]
    both = await store.query(things, [1.0, 0.0, 0.0], limit=5, where={"kind": "axis", "n": "2"})
    assert [match.id for match in both] == ["b"]
    assert await store.query(things, [1.0, 0.0, 0.0], limit=5, where={"kind": "Axis"}) == []
    odd = {'a "quoted".name': ' spaces, "quotes" \\ {braces}\n* 日本 😀 ', "empty": ""}
    text = 'control \x07, separator \u2028, quote " and 😀'
    await store.upsert(things, [VectorRecord('odd "id"', [0.0, 0.0, 1.0], text, odd)])
    for where in (odd, {"empty": ""}, dict([next(iter(odd.items()))])):
        assert [(m.id, m.text, m.fields) for m in await store.fetch(things, where=where, limit=5)] == [
            ('odd "id"', text, odd)
        ]
    assert await store.fetch(things, where={"empty": "no"}, limit=5) == []
    hostile = {"n": '1"]) { x } } } #'}
    assert await store.fetch(things, where=hostile, limit=5) == []
    assert await store.delete(things, where=hostile) == 0


async def test_the_same_id_is_written_over(store: VectorStore, things: str) -> None:
    await store.upsert(things, RECORDS)
    await store.upsert(things, [VectorRecord("a", [0.0, 0.0, 1.0], "moved", {"kind": "moved"})])
    assert [match.text for match in await store.query(things, [0.0, 0.0, 1.0], limit=1)] == ["moved"]
    assert await store.fetch(things, where={"n": "1"}, limit=5) == []
    assert [match.text for match in await store.fetch(things, where={"kind": "moved"}, limit=5)] == ["moved"]
    await store.upsert(things, [])


async def test_many_records_are_fetched_in_order_and_deleted_by_field(
    store: VectorStore, things: str
) -> None:
    rows = [VectorRecord(f"{n:04d}", [1.0, n, 0.0], str(n), {"of": "all"}) for n in reversed(range(620))]
    await store.upsert(things, rows)
    await store.upsert(things, RECORDS)
    found = await store.fetch(things, where={"of": "all"}, limit=610)
    assert [match.id for match in found] == [f"{n:04d}" for n in range(610)]
    assert {match.score for match in found} == {0.0}
    assert await store.delete(things, where={"of": "all"}) == 620
    assert await store.delete(things, where={"of": "all"}) == 0
    # By field, which is exact: an index of neighbours may miss one right after it lost most of what it linked.
    for record in RECORDS:
        assert [
            match.id for match in await store.fetch(things, where={"n": record.fields["n"]}, limit=9)
        ] == [record.id]
    assert await store.query(things, [1.0, 0.0, 0.0], limit=9)


async def test_what_is_not_allowed_is_refused(store: VectorStore, things: str) -> None:
    with pytest.raises(ValueError, match="refusing"):
        await store.delete(things, where={})
    with pytest.raises(ValueError, match="not a collection name"):
        await store.query('x"; DROP TABLE y; --', [1.0], limit=1)
    with pytest.raises(Unavailable):
        await store.query("absent", [1.0, 0.0, 0.0], limit=1)
    with pytest.raises(DatabaseUnready, match="holds vectors of 3 numbers, the embedding model makes 4"):
        await store.ensure(things, 4)
    await store.upsert(things, RECORDS)
    for size in (2, 4):
        with pytest.raises(Unavailable):
            await store.upsert(things, [VectorRecord("wrong", [1.0] * size, "", {})])
        with pytest.raises(Unavailable):
            await store.query(things, [1.0] * size, limit=1)
    assert len(await store.query(things, [1.0, 0.0, 0.0], limit=5)) == len(RECORDS)


async def test_the_store_says_who_it_is(server: Server, store: VectorStore) -> None:
    named = {"pgvector": "pgvector 0.", "weaviate": "Weaviate 1.35", "qdrant": "Qdrant 1."}
    assert (await store.health()).startswith(named[server.kind])


async def test_a_wrong_key_is_told_and_not_repeated(server: Server) -> None:
    if server.kind == "pgvector":
        url = (
            server.environment["RUNTIME_VECTOR_URL"]
            .replace(":", ":wrong-key", 2)
            .replace("wrong-key//", "//")
        )
        with pytest.raises(StartRefused, match="RUNTIME_VECTOR_URL: no connection") as refused:
            async with server.opened(RUNTIME_VECTOR_URL=url):
                pass
    else:
        async with server.opened(RUNTIME_VECTOR_API_KEY="wrong-key") as store:
            for question in (store.health(), store.ensure("things", 3)):
                with pytest.raises(
                    Unavailable, match=r"refuses the API key .*RUNTIME_VECTOR_API_KEY"
                ) as refused:
                    await question
                assert refused.value.code == "vector_store_refused"
    assert "wrong-key" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["weaviate", "qdrant"])
async def test_a_store_that_is_down_is_unavailable_within_the_deadline(scheme: str) -> None:
    server = Server(scheme, {"RUNTIME_VECTOR_URL": f"{scheme}://127.0.0.1:{free_port()}"})
    async with server.opened() as store, asyncio.timeout(vector_http.DEADLINE_S):
        for question in (
            store.health(),
            store.ensure("things", 3),
            store.upsert("things", RECORDS),
            store.query("things", [1.0], limit=1),
            store.fetch("things", where={"n": "1"}, limit=1),
            store.delete("things", where={"n": "1"}),
        ):
            with pytest.raises(Unavailable, match="ConnectError") as down:
                await question
            assert down.value.code == "vector_store_unavailable"


async def test_pgvector_that_goes_down_is_unavailable(
    postgres_server: RunningPostgres, new_database: Callable[[], str]
) -> None:
    url = new_database()
    server = Server("pgvector", {"RUNTIME_VECTOR_URL": url})
    async with server.opened() as store:
        await store.ensure("things", 3)
        async with (
            pool_open(UrlLogin(postgres_server.url(), label="test"), 2) as admin,
            admin.connection() as conn,
        ):
            await conn.execute(f"ALTER DATABASE {url.rsplit('/', 1)[1]} ALLOW_CONNECTIONS false".encode())
            await conn.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [url.rsplit("/", 1)[1]],
            )
        with pytest.raises(Unavailable):
            await store.query("things", [1.0, 0.0, 0.0], limit=1)


async def test_a_passing_failure_is_tried_again_and_a_lasting_one_is_told(
    qdrant: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_http, "PAUSE_S", 0.01)
    server = Server("qdrant", {"RUNTIME_VECTOR_URL": qdrant.url, "RUNTIME_VECTOR_API_KEY": qdrant.api_key})
    async with server.opened() as store:
        qdrant.fail_next[:] = [503, 429]
        await store.ensure("retried", 3)
        qdrant.fail_next[:] = [503] * vector_http.TRIES
        with pytest.raises(Unavailable, match="HTTP 503"):
            await store.query("retried", [1.0, 0.0, 0.0], limit=1)
        assert qdrant.fail_next == []
        qdrant.fail_next[:] = [500, 500]
        with pytest.raises(Unavailable, match="HTTP 500 Service internal error"):
            await store.query("retried", [1.0, 0.0, 0.0], limit=1)
        assert qdrant.fail_next == [500], "a server's own fault is not asked for twice"
        qdrant.fail_next.clear()


async def test_a_store_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_http, "DEADLINE_S", 0.3)
    silent: list[asyncio.StreamWriter] = []

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        silent.append(writer)

    listener: AbstractAsyncContextManager[asyncio.Server] = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listener as listening:
        port = listening.sockets[0].getsockname()[1]
        server = Server("weaviate", {"RUNTIME_VECTOR_URL": f"weaviate://127.0.0.1:{port}"})
        async with server.opened() as store:
            with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
                await store.health()
        for writer in silent:
            writer.close()


def test_no_field_passes_for_another() -> None:
    assert label("a", "b=c") != label("a=b", "c")
    assert label('a","b', "c") != label("a", 'b","c')
    assert label("a", " b ").strip() == label("a", " b ")
