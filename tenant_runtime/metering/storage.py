"""The storage gauge: bytes held by each store, at start and then at every interval."""

import asyncio
import logging
import time

from psycopg import Error

from tenant_runtime.database import Pool
from tenant_runtime.metering.outbox import Outbox

log = logging.getLogger(__name__)


async def database_bytes(pool: Pool) -> int:
    async with pool.connection() as conn:
        row = await (await conn.execute("SELECT pg_database_size(current_database()) AS n")).fetchone()
    return int(row["n"]) if row else 0


async def storage_report(stores: dict[str, Pool], outbox: Outbox, *, interval_s: int) -> None:
    """Runs until cancelled. `stores` maps a component's name to the database that holds it."""
    while True:
        bucket = int(time.time()) // interval_s
        for component, pool in stores.items():
            try:
                await outbox.storage(component=component, size=await database_bytes(pool), bucket=bucket)
            except Error:
                log.warning("storage gauge missed", extra={"component": component})
        await asyncio.sleep(interval_s)
