"""Who runs the graph of runs_agents: our runtime, LangGraph without a server, the peers' servers; all as shipped."""

import secrets
import shutil
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.peers import Peer, peer_installed
from benchmarks.private import ROOT
from benchmarks.runs_agents.noop import builder
from benchmarks.servers import server_started
from embedded.ports import free_port

AGENT = "noop"
AGENTS = ROOT / "benchmarks" / "runs_agents"
#: The same engine for all.
_ENGINE = f"langgraph=={version('langgraph')}"
DEV = Peer("langgraph-dev", "0.4.40", "langgraph-cli[inmem]", ("langgraph-api==0.16.7", _ENGINE))
AEGRA = Peer("aegra", "0.11.0", "aegra-api", (_ENGINE,), modern=True)
#: As many as runs are asked for at once, so that no pool decides the figures.
_CONNECTIONS = 30
Given = dict[str, Any]


class Contender(Protocol):
    async def thread(self) -> str:
        """A new thread; not part of any figure."""

    async def wait(self, thread: str, given: Given) -> Given:
        """The values at the run's end."""

    def stream(self, thread: str, given: Given) -> AsyncIterator[str]:
        """The name of each event of a run's stream of updates."""


@dataclass(frozen=True)
class Served:
    """Any server of the SDK's API."""

    client: LangGraphClient

    async def thread(self) -> str:
        return str((await self.client.threads.create())["thread_id"])

    async def wait(self, thread: str, given: Given) -> Given:
        values = await self.client.runs.wait(thread, AGENT, input=given, durability="sync")
        return dict(values) if isinstance(values, dict) else {}

    async def stream(self, thread: str, given: Given) -> AsyncIterator[str]:
        async for part in self.client.runs.stream(
            thread, AGENT, input=given, stream_mode="updates", durability="sync"
        ):
            yield part.event


@dataclass(frozen=True)
class Bare:
    """The compiled graph in this process, over its checkpointer."""

    graph: Any

    async def thread(self) -> str:
        return str(uuid4())

    async def wait(self, thread: str, given: Given) -> Given:
        return dict(await self.graph.ainvoke(given, _configured(thread), durability="sync"))

    async def stream(self, thread: str, given: Given) -> AsyncIterator[str]:
        async for _ in self.graph.astream(
            given, _configured(thread), stream_mode="updates", durability="sync"
        ):
            yield "updates"


def _configured(thread: str) -> Given:
    return {"configurable": {"thread_id": thread}}


@dataclass(frozen=True)
class Stores:
    """Addresses of what contenders keep their data in, each in a database of its own; `folder` is theirs too."""

    databases: dict[str, str]
    redis: str
    folder: Path

    def agents_of(self, name: str) -> Path:
        """A copy of the agents that the contender may write beside."""
        return Path(shutil.copytree(AGENTS, self.folder / name, ignore=shutil.ignore_patterns("__pycache__")))


@asynccontextmanager
async def ours(stores: Stores, *, workers: int = 1) -> AsyncIterator[Contender]:
    port, key = free_port(), secrets.token_urlsafe(24)
    database = f"ours{workers}"
    folder = stores.agents_of(database)
    environment = {
        "PYTHONPATH": str(ROOT),
        "RUNTIME_DATABASE_URL": stores.databases[database],
        "RUNTIME_REDIS_URL": stores.redis,
        "RUNTIME_API_KEY": key,
        "RUNTIME_ENCRYPTION_KEYS": f"b1:{b64encode(secrets.token_bytes(32)).decode()}",
        "RUNTIME_LOG_LEVEL": "warning",
    }
    argv = [sys.executable, "-m", "tenant_runtime", "serve", "--port", str(port)]
    argv += ["--workers", str(workers)]
    argv += ["--manifest", str(folder / "agents.toml")]
    url = f"http://127.0.0.1:{port}"
    with server_started(argv, name="ours", folder=folder, environment=environment, ready=f"{url}/ready"):
        yield Served(get_client(url=url, api_key=key, timeout=60))


@asynccontextmanager
async def bare(stores: Stores) -> AsyncIterator[Contender]:
    async with AsyncExitStack() as stack:
        pool: Any = AsyncConnectionPool(
            stores.databases["bare"],
            min_size=4,
            max_size=_CONNECTIONS,
            open=False,
            kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        )
        await stack.enter_async_context(pool)
        saver = AsyncPostgresSaver(pool)
        await saver.setup()
        yield Bare(builder.compile(checkpointer=saver))


@asynccontextmanager
async def langgraph_dev(stores: Stores) -> AsyncIterator[Contender]:
    programs = peer_installed(DEV)
    port, folder = free_port(), stores.agents_of("dev")
    argv = [str(programs / "langgraph"), "dev", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--no-browser", "--no-reload", "--server-log-level", "warning"]
    environment = {
        "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "LANGGRAPH_NO_VERSION_CHECK": "true",
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with server_started(argv, name=DEV.name, folder=folder, environment=environment, ready=f"{url}/ok"):
        yield Served(get_client(url=url, timeout=60))


@asynccontextmanager
async def aegra(stores: Stores) -> AsyncIterator[Contender]:
    programs = peer_installed(AEGRA)
    port, folder = free_port(), stores.agents_of("aegra")
    argv = [str(programs / "uvicorn"), "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    argv += ["--log-level", "warning"]
    environment = {
        "AEGRA_CONFIG": "aegra.json", "DATABASE_URL": stores.databases["aegra"], "LOG_LEVEL": "WARNING",
        # Its way to survive a crash: leases, and workers that take runs from Redis.
        "REDIS_BROKER_ENABLED": "true", "REDIS_URL": stores.redis,
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with server_started(argv, name=AEGRA.name, folder=folder, environment=environment, ready=f"{url}/health"):
        yield Served(get_client(url=url, timeout=60))
