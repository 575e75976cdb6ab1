"""One runtime as its doors and services know it: its rooms (opening.py puts them together), and what takes several."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from tenant_runtime.access.keys import KeyRing
from tenant_runtime.agents.loading import Agents
from tenant_runtime.agents.reloading import Reloader
from tenant_runtime.assistants.directory import Assistants
from tenant_runtime.database import Pool
from tenant_runtime.engine.bus import Bus
from tenant_runtime.engine.checkpoints import Checkpoints
from tenant_runtime.engine.executor import Executor
from tenant_runtime.engine.leases import Leases
from tenant_runtime.engine.pause import PauseRow
from tenant_runtime.engine.retention import Retention
from tenant_runtime.engine.runs import RunRows
from tenant_runtime.engine.states import CancelAction, RunStatus
from tenant_runtime.engine.threads import ThreadRows
from tenant_runtime.memory.long_term import Document, Embed, IngestCounts, LongTermMemory
from tenant_runtime.memory.short_term import ShortTermMemory
from tenant_runtime.metering.accounts import Account, Calls
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.metering.pusher import Pusher
from tenant_runtime.models.client import Embedded, ModelClient
from tenant_runtime.settings import Settings
from tenant_runtime.store.services import Store
from tenant_runtime.webhooks.pushes import PushConfigs
from tenant_runtime.webhooks.sender import Webhooks


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
    leases: Leases
    pause: PauseRow
    checkpoints: Checkpoints
    retention: Retention
    executor: Executor
    outbox: Outbox
    pusher: Pusher
    model: ModelClient
    short_term: ShortTermMemory
    long_term: LongTermMemory
    assistants: Assistants
    store: Store
    webhooks: Webhooks
    push_configs: PushConfigs
    once: asyncio.Semaphore
    """Starts that are made sure to happen once hold a connection while they take another: never all of them."""
    reloader: Reloader | None = None

    async def run_cancel(self, run_id: UUID, action: CancelAction) -> RunStatus | None:
        """Asks for the end of a run wherever it executes; the status it had, None when it was over."""
        row = await self.runs.cancel(run_id, action)
        if row is None:
            return None
        if row["status"] == "running":
            self.executor.cancel_local(str(run_id))
            return "running"
        if action == "rollback" and row["attempt"]:
            # It slept, or was between two workers: nobody else takes back what it wrote.
            await self.checkpoints.delete_run(row["thread_id"], run_id)
        return "pending"

    def embed_for(self, *, account_id: str, user: str) -> Embed:
        """Embeds outside of a run, on an account of its own: `account_id` stands where a run id would."""
        return embed_metered(self.model, self.pool, self.outbox, Account(account_id, user, "ingest", "1"))

    async def ingest(self, documents: list[Document], *, account_id: str, user: str) -> IngestCounts:
        counts = await self.long_term.ingest(documents, self.embed_for(account_id=account_id, user=user))
        self.outbox.woken()
        return counts


def embed_metered(model: ModelClient, pool: Pool, outbox: Outbox, account: Account) -> Embed:
    """Embedding whose tokens are counted on `account`."""
    calls = Calls(pool, outbox, account)

    async def embed(texts: list[str]) -> Embedded:
        done = await model.embed(texts)
        await calls.model(done)
        return done

    return embed


@asynccontextmanager
async def task_running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Background work that ends with the block."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
