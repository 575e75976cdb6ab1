"""A runtime's outbox with writers and pushers as processes, in front of the ingest that takes what they push."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import psycopg

from embedded.processes import wait_until
from tenant_runtime.database import LOCK_PUSH, migrations_apply, pool_open
from tenant_runtime.database_login import UrlLogin
from tests.billing.crash.generator import Stream
from tests.billing.crash.judge import raw_events
from tests.billing.crash.ledger import COUNTED, Ledger, pairs_of
from tests.billing.crash.points import Points
from tests.billing.crash.pushing import REPLICA, outbox_facts
from tests.billing.crash.site import Site
from tests.billing.crash.world import World
from tests.support.services import RunningPostgres

SLUG = "acme"


@dataclass
class OutboxWorld:
    """`facts` is how many events the writers are to write in all."""

    site: Site
    root: Path
    facts: int = 400
    seed: int = 5
    plants: tuple[str, ...] = ()
    pushers: list[int] = field(default_factory=list)
    writer: int | None = None

    def __post_init__(self) -> None:
        self.control_plane = World(self.site, self.root, seed=self.seed)
        self.points: Points = self.control_plane.points
        self.at = datetime.now(UTC)
        name = self.control_plane.database.replace("metering", "outbox")
        self.url = RunningPostgres(self.site.server, self.site.password).create(name, extensions=("vector",))
        asyncio.run(_migrate(self.url))
        with self.open() as connection:
            connection.execute("CREATE TABLE fact (id text PRIMARY KEY)")
        self.control_plane.serve()

    def _command(self) -> dict[str, Any]:
        return {
            "database": self.control_plane.database, "postgres_port": self.site.server.port,
            "runtime_url": self.url, "slug": SLUG, "seed": self.seed, "at": self.at.isoformat(),
            "points": str(self.points.folder), "plants": self.plants,
            "url": f"http://127.0.0.1:{self.control_plane.port}{self.control_plane.path(SLUG)}",
        }  # fmt: skip

    def push(self) -> int:
        """One more process that pushes."""
        self.pushers.append(self.site.forker.fork("pusher", **self._command()))
        return self.pushers[-1]

    def write(self, *, first: int = 0) -> None:
        """A process that writes all facts from the first one on, whatever another has written before."""
        command = {**self._command(), "first": first, "facts": self.facts, "out": str(self.root / "written")}
        self.writer = self.site.forker.fork("writer", **command)

    def written(self) -> bool:
        return (self.root / "written").exists()

    def kill(self, pid: int) -> None:
        self.site.forker.kill(pid)
        if pid in self.pushers:
            self.pushers.remove(pid)
        self.points.clear()

    def kill_at(self, point: str) -> None:
        """Kills the pusher that comes to the point, and starts another."""
        self.points.arm(point)
        pid = self.points.wait(point)
        assert pid is not None, f"{point} is not passed: {self.log()}"
        self.kill(pid)
        self.push()

    @contextmanager
    def paused_at(self, point: str) -> Iterator[int]:
        """Stops the pusher that comes to the point, in mid-step; it goes on at the end of the block."""
        self.points.arm(point)
        pid = self.points.wait(point)
        assert pid is not None, f"{point} is not passed: {self.log()}"
        os.kill(pid, signal.SIGSTOP)
        self.points.release(point)
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGCONT)

    def lock_taken_away(self) -> None:
        """Postgres ends the session that may push, as it does when it fails over or loses a client."""
        with self.open() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                "AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                [LOCK_PUSH],
            )

    def states(self) -> dict[str, int]:
        with self.open() as connection:
            rows = connection.execute("SELECT state, count(*) FROM usage_outbox GROUP BY state").fetchall()
        return dict(rows)

    def pending(self) -> int:
        return self.states().get("pending", 0)

    def fact_count(self) -> int:
        with self.open() as connection:
            return len(connection.execute("SELECT id FROM fact").fetchall())

    def drained(self, within_s: float = 30.0) -> bool:
        return wait_until(lambda: self.pending() == 0, within_s, poll_s=0.05)

    def open(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url, autocommit=True)

    def stop(self) -> None:
        for pid in (*self.pushers, *([self.writer] if self.writer else [])):
            self.site.forker.kill(pid)
        self.control_plane.stop()

    def log(self) -> str:
        return "\n".join(self.site.forker.log(role) for role in ("pusher", "writer", "ingest"))

    def violations(self) -> list[str]:
        """Every fact is delivered and counted once. By the generator's ledger, but for the times: an outbox gives
        each event the moment it was written."""
        expected = self._ledger()
        with self.open() as connection:
            facts = {row[0] for row in connection.execute("SELECT id FROM fact").fetchall()}
        wanted = {key[2] for key in expected.facts}
        found = [
            f"skipped: {count} events are {state}"
            for state, count in self.states().items()
            if state != "delivered"
        ]
        found += [f"lost: {len(wanted - facts)} facts were not written"] if wanted - facts else []
        url = self.site.url(self.control_plane.database)
        with psycopg.connect(url) as connection:
            arrived = Counter(body["id"] for _, body in raw_events(connection))
            sums = connection.execute(
                "SELECT meter, dimensions, sum(value) FROM billing_usagerollup GROUP BY 1, 2"
            ).fetchall()
        found += [f"lost: {len(wanted - set(arrived))} events never arrived"] if wanted - set(arrived) else []
        found += [f"doubled: {name} arrived {count} times" for name, count in arrived.items() if count > 1]
        got = {(m, pairs_of(d)): Fraction(v) for m, d, v in sums if m in COUNTED and v}
        if got != expected.totals(SLUG):
            found.append(f"total: {len(set(got.items()) ^ set(expected.totals(SLUG).items()))} totals differ")
        return found

    def _ledger(self) -> Ledger:
        ledger = Ledger()
        ledger.add(SLUG, outbox_facts(Stream(self.seed, SLUG, int(REPLICA), self.at), self.facts))
        return ledger


async def _migrate(url: str) -> None:
    async with pool_open(UrlLogin(url), 1) as pool, pool.connection() as conn:
        await migrations_apply(conn)


def slow_transaction(url: str, event: dict[str, Any]) -> psycopg.Connection[Any]:
    """An open transaction that has put the event into the outbox, and so has taken its number, but not committed."""
    connection = psycopg.connect(url)
    body = json.dumps({**event, "time": datetime.now(UTC).isoformat()})
    connection.execute(
        "INSERT INTO usage_outbox (source, id, body) VALUES (%s, %s, %s)",
        [event["source"], event["id"], body],
    )
    connection.execute("INSERT INTO fact (id) VALUES (%s) ON CONFLICT DO NOTHING", [event["id"]])
    return connection
