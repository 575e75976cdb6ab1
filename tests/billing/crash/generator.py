"""Usage events without end, the same for the same seed, in the order one source sends them.

Plain Python that imports nothing of the product: what is checked must not be made by what is checked. A stream holds
everything that real senders do: late events, events out of order, the same event twice (in one batch, in a later one,
with its members in another order), another body under a known id, broken ones, one that is mended and sent again,
counts beyond what a float can hold, and bytes with twelve decimals.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

Outcome = Literal["accepted", "duplicate", "conflict", "rejected"]

MODEL, TOOL, RUN, STORAGE = (f"freehold.{kind}.usage.v1" for kind in ("model", "tool", "run", "storage"))
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
#: How far back events lie: a change of the clock in Berlin and several ends of months.
REACH = timedelta(days=75)
LARGEST_BATCH = 24


@dataclass(frozen=True)
class Sent:
    """One event of a batch: its text on the wire, and what an ingest that never failed would answer."""

    text: str
    outcome: Outcome
    event: dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """What one source of a tenant sends. `at` is the moment no event lies after."""

    seed: int
    slug: str
    replica: int
    at: datetime

    @property
    def source(self) -> str:
        return f"/tenants/{self.slug}/runtime/{self.replica}"

    def batches(self) -> Iterator[list[Sent]]:
        """Endless; the nth batch is the same each time."""
        making = _Making(self)
        while True:
            yield [making.next() for _ in range(making.chance.randint(1, LARGEST_BATCH))]


class _Making:
    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.chance = random.Random(f"{stream.seed} {stream.source}")  # noqa: S311 - repeatable on purpose
        self.kept: list[dict[str, Any]] = []
        self.known: dict[str, str] = {}
        self.broken: list[dict[str, Any]] = []
        self.number = 0

    def next(self) -> Sent:
        kind = self.chance.random()
        if self.kept and kind < 0.08:
            return self._sent(_reordered(self.chance.choice(self.kept[-60:])))
        if self.kept and kind < 0.12:
            return self._sent(self._altered(self.chance.choice(self.kept[-60:])))
        if kind < 0.15:
            event = self._event()
            self.broken.append(event)
            return self._sent(self._spoiled(event))
        if self.broken and kind < 0.17:
            return self._sent(self.broken.pop(0))
        return self._sent(self._event())

    def _sent(self, event: dict[str, Any]) -> Sent:
        body = json.dumps(event, sort_keys=True)
        outcome: Outcome = "accepted"
        if event.get("broken"):
            event = {name: value for name, value in event.items() if name != "broken"}
            outcome = "rejected"
        elif event["id"] in self.known:
            outcome = "duplicate" if self.known[event["id"]] == body else "conflict"
        else:
            self.known[event["id"]] = body
            self.kept.append(event)
        return Sent(json.dumps(event), outcome, event)

    def _event(self) -> dict[str, Any]:
        self.number += 1
        kind = self.chance.choice([MODEL, MODEL, MODEL, TOOL, RUN, STORAGE])
        return {
            "specversion": "1.0",
            # The same ids in every source: they are the source's own.
            "id": f"run-{self.number // 4}:step-{self.number % 4}",
            "source": self.stream.source,
            "type": kind,
            "subject": self.stream.slug,
            "time": self._time(),
            "data": self._data(kind),
        }

    def _time(self) -> str:
        """Mostly of today, some days or months late, some on the very edge of a quarter of an hour."""
        reach = REACH if self.chance.random() < 0.4 else timedelta(hours=20)
        moment = self.stream.at - timedelta(
            microseconds=self.chance.randrange(reach // timedelta(microseconds=1))
        )
        if self.chance.random() < 0.1:
            edge = moment.replace(minute=self.chance.choice([0, 15, 30, 45]), second=0, microsecond=0)
            moment = edge if edge < self.stream.at else edge - timedelta(hours=1)
        offset = timezone(timedelta(minutes=self.chance.choice([0, 0, 330, -480])))
        text = moment.astimezone(offset).isoformat()
        return text.replace("+00:00", "Z") if self.chance.random() < 0.5 else text

    def _data(self, kind: str) -> dict[str, Any]:
        chance = self.chance
        common = {
            "run_id": f"r{self.number // 4}",
            "user": f"u{chance.randrange(9)}",
            "agent": f"agent-{chance.randrange(3)}",
        }
        if kind == MODEL:
            counts = {name: self._count() for name in TOKENS if chance.random() < 0.8}
            return {**common, "step": self.number % 4, "model": f"model-{chance.randrange(3)}", **counts}
        if kind == TOOL:
            tool = {"tool": f"tool-{chance.randrange(4)}", "cached": chance.random() < 0.3}
            return {**common, "step": "s", **tool, "duration_ms": "12.5"}
        if kind == RUN:
            return {**common, "outcome": chance.choice(["success", "error", "timeout"]), "duration_ms": 17}
        fraction = f".{chance.randrange(10**12):012d}" if chance.random() < 0.5 else ""
        return {
            "component": chance.choice(["postgres", "vector", "cache"]),
            "bytes": f"{chance.randrange(10**12)}{fraction}",
        }

    def _count(self) -> int | str:
        """Small and large ones: beyond 2**53 a float drops the last digits."""
        chance = self.chance
        amount = chance.randrange(5000) if chance.random() < 0.8 else chance.randrange(10**16, 10**18) | 1
        return chance.choice([amount, str(amount), f"{amount}.0"])

    def _altered(self, event: dict[str, Any]) -> dict[str, Any]:
        return {**event, "data": {**event["data"], "agent": f"another-{self.chance.randrange(1000)}"}}

    def _spoiled(self, event: dict[str, Any]) -> dict[str, Any]:
        future = (self.stream.at + timedelta(days=2)).astimezone(UTC).isoformat()
        part = "bytes" if event["type"] == STORAGE else "output_tokens"
        spoiled = [
            {**event, "time": future},
            {**event, "type": "somebody.else.v1"},
            {
                **event,
                "data": {
                    name: value for name, value in event["data"].items() if name not in ("agent", "component")
                },
            },
        ]
        if event["type"] in (MODEL, STORAGE):
            spoiled.append({**event, "data": {**event["data"], part: "-1"}})
        return {**self.chance.choice(spoiled), "broken": True}


def _reordered(event: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(event.items()))
