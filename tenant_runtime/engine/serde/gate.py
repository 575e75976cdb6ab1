"""When rows are sealed, and until when plain ones from before are read: one recorded answer for all replicas.

A fresh database is sealed from its first row. In one that holds rows of an earlier version, rows are written plain
until `seal_from`, so that replicas of that version can read them while they are replaced; from then on they are sealed,
and the rest is sealed in the background; and once that has found no more, `plain_until` is set, for good.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tenant_runtime.database import Connection
from tenant_runtime.errors import SettingsInvalid


@dataclass
class SealGate:
    """This process's copy of the row; `now` is asked at each use. Without keys nothing is sealed, ever."""

    keyed: bool
    seal_from: datetime | None = None
    plain_until: datetime | None = None
    clock: Any = field(default=lambda: datetime.now(UTC), repr=False)

    @property
    def sealing(self) -> bool:
        return self.keyed and self.seal_from is not None and self.clock() >= self.seal_from

    def plain_readable(self) -> bool:
        return not self.keyed or self.plain_until is None

    async def load(self, conn: Connection) -> None:
        row = await (await conn.execute("SELECT seal_from, plain_until FROM checkpoint_seal")).fetchone()
        if row is not None:
            self.seal_from, self.plain_until = row["seal_from"], row["plain_until"]
        if not self.keyed and self.seal_from is not None:
            raise SettingsInvalid(
                "RUNTIME_ENCRYPTION: found off; wanted RUNTIME_ENCRYPTION_KEYS, because the threads in this database "
                "are sealed"
            )

    async def open(self, conn: Connection, *, grace_s: int) -> None:
        """Call under the migration lock, after both migrations. Records the moments when a key is there for the first
        time: at once for a database without checkpoints, `grace_s` seconds later for one with some."""
        await self.load(conn)
        if not self.keyed or self.seal_from is not None:
            return
        row = await (
            await conn.execute("SELECT EXISTS (SELECT 1 FROM checkpoints) AS used, now() AS now")
        ).fetchone()
        assert row is not None
        used, now = bool(row["used"]), row["now"]
        await conn.execute(
            "INSERT INTO checkpoint_seal (seal_from, plain_until) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            [now + timedelta(seconds=grace_s) if used else now, None if used else now],
        )
        await self.load(conn)
