"""A month's close in processes that are killed, and what it must come to by prices worked out apart from the product.

The customers are a file, so that a close needs no tenants; the setting BILLING_CUSTOMERS names `Directory`.
"""

import itertools
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from embedded.processes import wait_until
from tests.billing.crash.generator import Stream
from tests.billing.crash.ledger import GAUGE, Ledger
from tests.billing.crash.points import Points
from tests.billing.crash.site import Site

CUSTOMERS = "FREEHOLD_CRASH_CUSTOMERS"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
BATCHES = 12
BEGUN = "billing.close.begun"
CARD: dict[str, Any] = {
    "key": "crash",
    "version": 1,
    "base_fee": "49.99",
    "prices": [
        # Dear enough that a float would lose cents of it.
        {"meter": "input_tokens", "unit_price": "3", "per": 1000, "match": {"model": "model-0"}},
        {"meter": "input_tokens", "unit_price": "0.10", "per": 1000000},
        {"meter": "output_tokens", "unit_price": "15", "per": 1000000, "included": "1000"},
        {"meter": "agent_runs", "unit_price": "0.013", "included": "2"},
        {"meter": "tool_calls", "unit_price": "0.001", "match": {"cached": "false"}},
        {"meter": GAUGE, "unit_price": "0.25"},
    ],
}


class Directory:
    """The customers of the file that CUSTOMERS names."""

    def customers(self, *, team_id: UUID | None = None) -> Iterator[Any]:
        from billing.directory import BilledCustomer

        for each in json.loads(Path(os.environ[CUSTOMERS]).read_text(encoding="utf-8")):
            if team_id in (None, UUID(each["team_id"])):
                yield BilledCustomer(
                    id=UUID(each["id"]), team_id=UUID(each["team_id"]), slug=each["slug"], name=each["slug"],
                    created_at=BEGAN, ended_at=None, contact_email="", rate_card=CARD,
                )  # fmt: skip

    def customer(self, *, tenant_id: UUID) -> Any:
        return next((each for each in self.customers() if each.id == tenant_id), None)


def seed(command: dict[str, Any]) -> None:
    """Role `seed`: the first batches of each customer's stream, through the ingest service."""
    from billing.metering.services import usage_ingest
    from controlplane.core import clock

    for each in json.loads(Path(command["customers"]).read_text(encoding="utf-8")):
        stream = Stream(command["seed"], each["slug"], 0, datetime.fromisoformat(command["at"]))
        for batch in itertools.islice(stream.batches(), BATCHES):
            events = [json.loads(sent.text) for sent in batch]
            usage_ingest(
                tenant_id=UUID(each["id"]), subject=each["slug"], events=events, received_at=clock.now()
            )
    Path(command["out"]).touch()


def close(command: dict[str, Any]) -> None:
    """Role `close`: begins the month's close and carries it on until it is done, as the clock's task does."""
    from django.conf import settings
    from django.db import connections

    from billing.invoicing.close import period_close, period_close_begin
    from billing.period import period_of

    os.environ[CUSTOMERS] = command["customers"]
    settings.BILLING_CUSTOMERS = f"{__name__}.Directory"
    at = datetime.fromisoformat(command["closed_at"])
    period = period_of(datetime.fromisoformat(command["period"]))
    while True:
        try:
            begun = period_close_begin(team_id=UUID(command["team_id"]), period=period, at=at, actor="crash")
            if period_close(close_id=begun.pk, at=at, actor="crash").state == "done":
                break
        except Exception as error:  # the next tick of the clock tries again
            print(f"{type(error).__name__}: {error}", flush=True)
            connections.close_all()
            time.sleep(0.05)
    Path(command["out"]).touch()


@dataclass
class CloseWorld:
    site: Site
    root: Path
    tenants: int = 14
    seed: int = 41
    plants: tuple[str, ...] = ()
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    closers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.points = Points(self.root / "points")
        self.database = self.site.database()
        self.team = str(uuid.uuid4())
        self.slugs = [f"tenant-{number:02d}" for number in range(self.tenants)]
        self.ids = {slug: str(uuid.uuid4()) for slug in self.slugs}
        self.customers = self.root / "customers.json"
        known = [{"id": self.ids[slug], "team_id": self.team, "slug": slug} for slug in self.slugs]
        self.customers.write_text(json.dumps(known), encoding="utf-8")
        month = self.at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        self.period = ((month - timedelta(days=1)).replace(day=1), month)
        out = self.root / "seeded"
        pid = self._fork("seed", out=str(out), seed=self.seed, at=self.at.isoformat())
        self.site.forker.done(pid)
        assert out.exists(), self.site.forker.log("seed")

    def _fork(self, role: str, **command: Any) -> int:
        return self.site.forker.fork(
            role, database=self.database, postgres_port=self.site.server.port, customers=str(self.customers),
            **command,
        )  # fmt: skip

    def close(self) -> int:
        """One more process that closes the month."""
        pid = self._fork(
            "close", points=str(self.points.folder), plants=self.plants, team_id=self.team,
            period=self.period[0].isoformat(), closed_at=datetime.now(UTC).isoformat(),
            out=str(self.root / "closed"),
        )  # fmt: skip
        self.closers.append(pid)
        return pid

    def kill(self, pid: int) -> None:
        self.site.forker.kill(pid)
        if pid in self.closers:
            self.closers.remove(pid)
        self.points.clear()

    def kill_at(self, point: str) -> bool:
        """Kills the process that comes to the point, and starts another; False where none comes by any more."""
        self.points.arm(point)
        if point == BEGUN:
            self.close()
        wait_until(lambda: self.done() or self.points.at(point) is not None, 20, poll_s=0.002)
        pid = self.points.at(point)
        if pid is None:
            return False
        self.kill(pid)
        self.close()
        return True

    def done(self) -> bool:
        return (self.root / "closed").exists()

    def stop(self) -> None:
        for pid in self.closers:
            self.site.forker.kill(pid)

    def log(self) -> str:
        return self.site.forker.log("close")

    def violations(self) -> list[str]:
        """Invoices that are missing, doubled or wrong; gaps in their numbers; books that do not balance."""
        ledger = Ledger.of({Stream(self.seed, slug, 0, self.at): BATCHES for slug in self.slugs})
        with psycopg.connect(self.site.url(self.database)) as connection:
            invoices = connection.execute(
                "SELECT tenant_id::text, number, state, subtotal, credits, tax, total, id FROM billing_invoice "
                "ORDER BY number"
            ).fetchall()
            lines = dict(
                connection.execute(
                    "SELECT invoice_id, sum(amount) FROM billing_invoiceline GROUP BY 1"
                ).fetchall()
            )
            uneven = connection.execute(
                "SELECT t.key, sum(e.amount), count(e.id), t.size FROM billing_journaltransaction t "
                "LEFT JOIN billing_journalentry e ON e.transaction_id = t.id GROUP BY t.id "
                "HAVING coalesce(sum(e.amount), 1) <> 0 OR count(e.id) <> t.size"
            ).fetchall()
            accounts = dict(
                connection.execute(
                    "SELECT account, sum(amount) FROM billing_journalentry GROUP BY 1"
                ).fetchall()
            )
        found = [f"journal: {row} does not sum to zero or lacks entries" for row in uneven]
        numbers = [int(row[1].rsplit("-", 1)[1]) for row in invoices if row[1]]
        if numbers != list(range(1, len(self.slugs) + 1)):
            found.append(f"numbers: {numbers}, expected 1 to {len(self.slugs)} without a gap")
        total = Fraction(0)
        for slug in self.slugs:
            own = [row for row in invoices if row[0] == self.ids[slug]]
            expected = charged(ledger, slug, *self.period)
            total += expected
            if len(own) != 1:
                found.append(f"invoices: {slug} has {len(own)}")
                continue
            _, number, state, subtotal, credits, tax, amount, invoice = own[0]
            if (state, credits, tax) != ("finalized", 0, 0):
                found.append(f"invoices: {slug}'s is {state} with credits {credits} and tax {tax}")
            for what, value in (
                ("subtotal", subtotal),
                ("total", amount),
                ("sum of lines", lines.get(invoice, 0)),
            ):
                if Fraction(value) != expected:
                    found.append(
                        f"money: {what} of {number} ({slug}) is {value}, expected {float(expected):.2f}"
                    )
        owed, earned = accounts.get("customer_receivable", 0), -accounts.get("revenue", 0)
        if not Fraction(owed) == Fraction(earned) == total:
            found.append(f"books: {owed} receivable and {earned} revenue, expected {float(total):.2f}")
        return found


def charged(ledger: Ledger, slug: str, start: datetime, end: datetime) -> Fraction:
    """What the month costs by CARD: exact to the end, then rounded to cents once, half up."""

    def used(meter: str, group_by: str | None = None) -> dict[str | None, Fraction]:
        sums = ledger.usage(slug, meter, start, end, window="month", group_by=group_by, zone="UTC")
        return {group: value for (_, group), value in sums.items()}

    nothing = Fraction(0)
    tokens = used("input_tokens", "model")
    dear = tokens.pop("model-0", nothing)
    exact = Fraction("49.99")
    exact += dear * Fraction(3, 1000)
    exact += sum(tokens.values(), nothing) * Fraction("0.10") / 10**6
    exact += max(sum(used("output_tokens").values(), nothing) - 1000, nothing) * Fraction(15, 10**6)
    exact += max(sum(used("agent_runs").values(), nothing) - 2, nothing) * Fraction("0.013")
    exact += used("tool_calls", "cached").get("false", nothing) * Fraction("0.001")
    exact += sum(used(GAUGE).values(), nothing) * Fraction("0.25")
    return Fraction((exact * 100 + Fraction(1, 2)).__floor__(), 100)
