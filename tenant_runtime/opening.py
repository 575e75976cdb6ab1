"""Opens a runtime from its settings: stores, tasks and what they share, and closes it in the reverse order."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from psycopg import Error
from psycopg_pool import PoolTimeout

from tenant_runtime.access.keys import KeyRing
from tenant_runtime.agents.loading import Agents
from tenant_runtime.agents.recorded import schemas_record
from tenant_runtime.agents.reloading import Reloader
from tenant_runtime.agents.report import Problem
from tenant_runtime.assistants.directory import Assistants
from tenant_runtime.assistants.rows import AssistantRows
from tenant_runtime.database import Pool, migration_lock, migrations_apply, pool_open
from tenant_runtime.database_login import login_open
from tenant_runtime.engine.attempts import Attempts
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints, checkpointer_make, refusals_audited
from tenant_runtime.engine.execution import Graphs
from tenant_runtime.engine.executor import Executor
from tenant_runtime.engine.heart import Heart, heart_beating
from tenant_runtime.engine.leases import Leases, Renewal, Shares
from tenant_runtime.engine.pause import PauseRow
from tenant_runtime.engine.retention import Kept, Retention
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.serde.gate import SealGate
from tenant_runtime.engine.serde.resealing import Resealing
from tenant_runtime.engine.serde.sealing import Sealer
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.errors import ManifestInvalid
from tenant_runtime.ledger.ledger import Ledgers
from tenant_runtime.memory.long_term import LongTermMemory
from tenant_runtime.memory.pgvector import PgVectorStore
from tenant_runtime.memory.short_term import short_term_open
from tenant_runtime.memory.stores import vector_store_open
from tenant_runtime.metering.accounts import Account
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.metering.pusher import Pusher
from tenant_runtime.metering.storage import storage_report
from tenant_runtime.models.client import model_open
from tenant_runtime.runtime import Runtime, embed_metered, task_running
from tenant_runtime.settings import Settings
from tenant_runtime.starting.agents import agent_start
from tenant_runtime.store.meaning import StoreMeaning
from tenant_runtime.store.rows import StoreRows
from tenant_runtime.store.services import Store
from tenant_runtime.webhooks.pushes import PushConfigs
from tenant_runtime.webhooks.sender import Webhooks

log = logging.getLogger(__name__)

DRAIN_S: Final = 3.0


async def _schemas_accept(pool: Pool, agents: Agents) -> list[Problem]:
    try:
        async with pool.connection() as conn:
            return await schemas_record(conn, agents.all())
    except (Error, OSError, PoolTimeout) as error:
        detail = f"state schemas cannot be compared: {type(error).__name__}"
        return [Problem("schema_unknown", "database", detail, "try again once the database answers")]


@asynccontextmanager
async def _renewal_open(settings: Settings) -> AsyncIterator[Renewal]:
    """For a thread of its own, and so with a login of its own: nothing of another loop is waited for."""
    async with pool_open(await login_open(settings), 1) as pool:
        yield Renewal(pool)


@asynccontextmanager
async def runtime_open(
    settings: Settings, agents: Agents, *, reload_from: Path | None = None
) -> AsyncIterator[Runtime]:
    """A serving runtime: migrated, its tasks running. StartRefused when it cannot be.

    `reload_from` is the manifest to watch in development."""
    begun = time.monotonic()
    async with AsyncExitStack() as stack:
        login = await login_open(settings)
        pool = await stack.enter_async_context(pool_open(login, settings.pool_size))
        store = await stack.enter_async_context(vector_store_open(settings, pool))
        # Ten checkpoints a run: their statements are worth preparing, and should not queue behind the others.
        checkpoint_pool = await stack.enter_async_context(pool_open(login, settings.pool_size, prepared=True))
        keys = settings.encryption_keys
        sealer = Sealer(keys, tenant=settings.tenant) if keys else None
        gate = SealGate(keyed=bool(keys))
        saver = checkpointer_make(checkpoint_pool, sealer=sealer, gate=gate, refused=refusals_audited(pool))
        async with migration_lock(pool) as conn:
            await migrations_apply(conn)
            await saver.setup()
            await gate.open(conn, grace_s=settings.sealing_grace_s)
            if problems := await schemas_record(conn, agents.all()):
                raise ManifestInvalid(agents.report.with_problems(problems))

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
        embed = embed_metered(model, pool, outbox, opening)
        await long_term.open(embed)

        threads, runs = ThreadRows(pool), RunRows(pool, bus, outbox)
        leases = Leases(pool, bus, Shares(attempts=settings.max_attempts, user_runs=settings.user_runs))
        checkpoints = Checkpoints(pool, saver, agents, deltas=settings.delta_channels)
        kept = Kept(settings.thread_ttl_minutes or None, settings.run_log_s)
        retention = Retention(pool, threads, checkpoints, short_term, kept)
        graphs = Graphs(
            checkpoints=checkpoints, ledgers=Ledgers(pool, outbox, sealer), model=model, short_term=short_term,
            long_term=long_term,
        )  # fmt: skip
        attempts = Attempts(
            bus=bus, runs=runs, leases=leases, checkpoints=checkpoints, agents=agents, graphs=graphs
        )  # fmt: skip
        executor = Executor(
            bus=bus, runs=runs, leases=leases, threads=threads, checkpoints=checkpoints, attempts=attempts,
            max_runs=settings.max_runs,
        )  # fmt: skip
        runtime = Runtime(
            settings=settings, agents=agents, pool=pool, bus=bus,
            keys=KeyRing(
                pool, api_key=settings.api_key, admin_key=settings.admin_key, token_keys=settings.token_keys,
                token_issuer=settings.token_issuer, tenant=settings.tenant,
            ),
            threads=threads, runs=runs, leases=leases, pause=PauseRow(pool), checkpoints=checkpoints,
            retention=retention, executor=executor, outbox=outbox, pusher=pusher, model=model, short_term=short_term,
            long_term=long_term,
            once=asyncio.Semaphore(max(1, settings.pool_size // 2)),
            assistants=Assistants(AssistantRows(pool), agents),
            store=Store(StoreRows(pool), StoreMeaning(store)),
            webhooks=Webhooks(pool, secrets=settings.webhook_secrets, policy=settings.webhook_policy),
            push_configs=PushConfigs(pool, sealer),
        )  # fmt: skip
        graphs.start_from = partial(agent_start, runtime)
        if reload_from is not None:
            runtime.reloader = Reloader(reload_from, agents, partial(_schemas_accept, pool))
            await stack.enter_async_context(task_running(runtime.reloader.run(), "reload"))
        await bus.open()
        # Weaviate and Qdrant do not say how many bytes they hold, so only databases are gauged.
        stores = {"postgres": pool}
        if isinstance(store, PgVectorStore) and store.pool is not pool:
            stores["vector_store"] = store.pool
        for work, name in (
            (long_term.open_later(embed), "long-term memory"),
            (pusher.run(), "usage pusher"),
            (storage_report(stores, outbox, interval_s=settings.storage_interval_s), "storage gauge"),
            (runtime.webhooks.run(), "webhook sender"),
            (runtime.store.run(), "store sweep"),
            (retention.run(), "retention"),
            (executor.sweep(), "sweep"),
            (executor.run(), "executor"),
        ):
            await stack.enter_async_context(task_running(work, name))
        heart = Heart(executor, partial(_renewal_open, settings))
        await stack.enter_async_context(heart_beating(heart))
        if sealer is not None:
            await stack.enter_async_context(task_running(Resealing(pool, sealer, gate).run(), "resealing"))
        else:
            log.warning("threads are stored unsealed: RUNTIME_ENCRYPTION is off")
        log.info(
            "runtime open",
            extra={
                "agents": [agent.entry.name for agent in agents.all()], "model": settings.model_name,
                "took_s": round(time.monotonic() - begun, 3),
            },
        )  # fmt: skip
        try:
            yield runtime
        finally:
            await executor.drain(DRAIN_S)
            log.info("runtime closed")
