"""One run for one cause, whatever is repeated: a message that is sent again, a step that is replayed elsewhere.

The cause's row is committed first and names a random `start_id`, which the run carries in its metadata. Whoever finds
the row without a run, because its first starter died, finds the run by that id or starts it.
"""

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from tenant_runtime.database import Connection, Pool

#: How long a cause is remembered. Senders of webhooks give up long before.
KEPT_DAYS: Final = 30
_REMOVED_AT_ONCE: Final = 100
#: Starts the run with this metadata; the row of the run.
Start = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Started:
    """`repeated`: the cause had started this run before."""

    run_id: uuid.UUID
    thread_id: uuid.UUID
    repeated: bool


async def start_once(pool: Pool, *, source: str, key: str, start: Start) -> Started:
    """The cause's run. Two at once for one cause take turns; what `start` raises leaves the cause without a run."""
    async with pool.connection() as conn:
        await _forget_old(conn)
        await conn.execute(
            "INSERT INTO run_starts (source, key) VALUES (%s, %s) ON CONFLICT DO NOTHING", [source, key]
        )
        async with conn.transaction():
            cursor = await conn.execute(
                "SELECT start_id, run_id, thread_id FROM run_starts WHERE source = %s AND key = %s FOR UPDATE",
                [source, key],
            )
            row = await cursor.fetchone()
            assert row is not None
            if row["run_id"] is not None:
                return Started(row["run_id"], row["thread_id"], True)
            cursor = await conn.execute(
                "SELECT run_id, thread_id FROM runs WHERE metadata ? 'start_id' AND metadata->>'start_id' = %s",
                [str(row["start_id"])],
            )
            known = await cursor.fetchone()
            run = known or await start({"start_id": str(row["start_id"])})
            await conn.execute(
                "UPDATE run_starts SET run_id = %s, thread_id = %s WHERE source = %s AND key = %s",
                [run["run_id"], run["thread_id"], source, key],
            )
            return Started(run["run_id"], run["thread_id"], known is not None)


async def _forget_old(conn: Connection) -> None:
    await conn.execute(
        "DELETE FROM run_starts WHERE start_id IN (SELECT start_id FROM run_starts "
        "WHERE created_at < now() - make_interval(days => %s) ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED)",
        [KEPT_DAYS, _REMOVED_AT_ONCE],
    )


async def thread_of_key(pool: Pool, trigger: str, key: str) -> uuid.UUID:
    """The thread for messages of one key. Random, so that nobody can be there first; the key is kept as a hash."""
    digest = hashlib.sha256(key.encode()).digest()
    async with pool.connection() as conn:
        cursor = await conn.execute(
            "INSERT INTO trigger_threads (trigger, key_sha256) VALUES (%s, %s) "
            "ON CONFLICT (trigger, key_sha256) DO UPDATE SET used_at = now() RETURNING thread_id",
            [trigger, digest],
        )
        row = await cursor.fetchone()
    assert row is not None
    found: uuid.UUID = row["thread_id"]
    return found
