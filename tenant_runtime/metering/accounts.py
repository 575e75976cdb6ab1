"""On whose account calls go, and the calls that are made outside of any run."""

import uuid
from dataclasses import dataclass

from tenant_runtime.database import Pool
from tenant_runtime.metering.outbox import Outbox
from tenant_runtime.models.client import ChatAnswer, Embedded


@dataclass(frozen=True)
class Account:
    """The labels of usage events. `run_id` is a run's, or a name of one's own outside of runs."""

    run_id: str
    user: str
    agent: str
    version: str


@dataclass(frozen=True)
class Calls:
    """Bills calls that no run makes, each once. A call of a run is the ledger's (tenant_runtime/ledger)."""

    pool: Pool
    outbox: Outbox
    account: Account

    async def model(self, answer: ChatAnswer | Embedded) -> None:
        account = self.account
        async with self.pool.connection() as conn, conn.transaction():
            await self.outbox.model_call(
                conn, id_=f"{account.run_id}:model:{uuid.uuid4()}", run_id=account.run_id, place="0:main",
                user=account.user, agent=account.agent, version=account.version, model=answer.model,
                usage=answer.usage,
            )  # fmt: skip
