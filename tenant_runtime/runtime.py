"""Puts the rooms together: opens everything in order, keeps the background tasks, closes in reverse."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from tenant_runtime.access.keys import KeyRing
from tenant_runtime.agents.context import Account, Calls
from tenant_runtime.agents.loading import Agents
from tenant_runtime.database import Pool, migration_lock, migrations_apply, pool_open
from tenant_runtime.database_login import login_open
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints, checkpointer_make
from tenant_runtime.engine.executor import Executor
from tenant_runtime.engine.pause import PauseRow
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.states import CancelAction, RunStatus
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.memory.long_term import Document, Embed, IngestCounts, LongTermMemory
from tenant_runtime.memory.pgvector import PgVectorStore
from tenant_runtime.memory.short_term import ShortTermMemory, short_term_open
from tenant_runtime.memory.stores import vector_store_open
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.metering.pusher import Pusher
from tenant_runtime.metering.storage import storage_report
from tenant_runtime.models.client import Embedded, ModelClient, model_open
from tenant_runtime.settings import Settings

log = logging.getLogger(__name__)

DRAIN_S: Final = 3.0


@dataclass
class Runtime:
    """What the HTTP service works with."""

    settings: Settings
    agents: Agents
    pool: Pool
    bus: Bus
    keys: KeyRing
    threads: ThreadRows
    runs: RunRows
    pause: PauseRow
    checkpoints: Checkpoints
    executor: Executor
    outbox: Outbox
    pusher: Pusher
    model: ModelClient
    short_term: ShortTermMemory
    long_term: LongTermMemory

    async def run_cancel(self, run_id: UUID, action: CancelAction) -> RunStatus | None:
        """Asks for the end of a run wherever it executes; the status it had, None when it was over."""
        had = await self.runs.cancel(run_id, action)
        self.executor.cancel_local(str(run_id))
        return had

    def embed_for(self, *, account_id: str, user: str) -> Embed:
        """Embeds outside of a run, on an account of its own: `account_id` stands where a run id would."""
        return embed_metered(self.model, self.outbox, Account(account_id, user, "ingest", "1"))

    async def ingest(self, documents: list[Document], *, account_id: str, user: str) -> IngestCounts:
        counts = await self.long_term.ingest(documents, self.embed_for(account_id=account_id, user=user))
        self.outbox.woken()
        return counts


def embed_metered(model: ModelClient, outbox: Outbox, account: Account) -> Embed:
    """Embedding whose tokens are counted on `account`."""
    calls = Calls(outbox, account)

    async def embed(texts: list[str]) -> Embedded:
        done = await model.embed(texts)
        await calls.model(done)
        return done

    return embed


@asynccontextmanager
async def _task(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def runtime_open(settings: Settings, agents: Agents) -> AsyncIterator[Runtime]:
    """A serving runtime: migrated, its lost runs given up, its tasks running. StartRefused when it cannot be."""
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        login = await login_open(settings)
        pool = await stack.enter_async_context(pool_open(login, settings.pool_size))
        store = await stack.enter_async_context(vector_store_open(settings, pool))
        # Ten checkpoints a run: their statements are worth preparing, and should not queue behind the others.
        checkpoint_pool = await stack.enter_async_context(pool_open(login, settings.pool_size, prepared=True))
        saver = checkpointer_make(checkpoint_pool)
        async with migration_lock(pool) as conn:
            await migrations_apply(conn)
            await saver.setup()

        bus = Bus(login)
        stack.push_async_callback(bus.close)
        outbox = Outbox(pool, tenant=settings.tenant, replica=settings.replica)
        pusher = Pusher(pool, outbox, url=settings.usage_url, token=settings.usage_token)
        stack.push_async_callback(pusher.close)
        model = await stack.enter_async_context(model_open(settings))
        short_term = short_term_open(settings.redis_url, tenant=settings.tenant)
        stack.push_async_callback(short_term.close)
        long_term = LongTermMemory(store)
        # The probe that tells the vectors' size is counted too: the report must equal what the provider bills.
        opening = Account(f"start-{uuid.uuid4()}", "runtime", "start", "1")
        embed = embed_metered(model, outbox, opening)
        await long_term.open(embed)

        threads, runs = ThreadRows(pool), RunRows(pool, bus, outbox)
        checkpoints = Checkpoints(pool, saver, agents)
        executor = Executor(
            pool=pool, bus=bus, runs=runs, threads=threads, checkpoints=checkpoints, agents=agents, outbox=outbox,
            model=model, short_term=short_term, long_term=long_term, max_runs=settings.max_runs,
        )  # fmt: skip
        runtime = Runtime(
            settings=settings, agents=agents, pool=pool, bus=bus,
            keys=KeyRing(pool, api_key=settings.api_key, admin_key=settings.admin_key),
            threads=threads, runs=runs, pause=PauseRow(pool), checkpoints=checkpoints, executor=executor, outbox=outbox,
            pusher=pusher,
            model=model, short_term=short_term, long_term=long_term,
        )  # fmt: skip
        await bus.open()
        lost = await runs.give_up_lost()
        # Weaviate and Qdrant do not say how many bytes they hold, so only databases are gauged.
        stores = {"postgres": pool}
        if isinstance(store, PgVectorStore) and store.pool is not pool:
            stores["vector_store"] = store.pool
        for work, name in (
            (long_term.open_later(embed), "long-term memory"),
            (pusher.run(), "usage pusher"),
            (storage_report(stores, outbox, interval_s=settings.storage_interval_s), "storage gauge"),
            (executor.sweep(), "sweep"),
            (executor.run(), "executor"),
        ):
            await stack.enter_async_context(_task(work, name))
        log.info(
            "runtime open",
            extra={
                "agents": [agent.entry.name for agent in agents.all()], "model": settings.model_name,
                "lost_runs": len(lost), "took_s": round(time.monotonic() - begun, 3),
            },
        )  # fmt: skip
        try:
            yield runtime
        finally:
            await executor.drain(DRAIN_S)
            log.info("runtime closed")
