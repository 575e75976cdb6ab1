"""The generator's own books: what must be stored and counted after so many batches of each stream.

Like the generator it imports nothing of the product. Sums are fractions, windows are cut by the calendar itself.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from tests.billing.crash.generator import MODEL, RUN, STORAGE, TOKENS, TOOL, Sent, Stream

Pairs = tuple[tuple[str, str], ...]

#: meter -> (event type, value in its data or None for one each, dimensions)
COUNTED: dict[str, tuple[str, str | None, tuple[str, ...]]] = {
    **{name: (MODEL, name, ("model", "agent")) for name in TOKENS},
    "tool_calls": (TOOL, None, ("tool", "agent", "cached")),
    "agent_runs": (RUN, None, ("agent", "outcome")),
}
GAUGE = "storage_gb_months"
QUARTER = timedelta(minutes=15)
_DEFAULTS = {"cached": False}


@dataclass(frozen=True)
class Fact:
    slug: str
    source: str
    id: str
    type: str
    time: datetime
    body: dict[str, Any]

    @property
    def key(self) -> tuple[str, str, str]:
        return (self.slug, self.source, self.id)

    def dimension(self, name: str) -> str:
        value = self.body["data"].get(name, _DEFAULTS.get(name, ""))
        return str(value).lower() if isinstance(value, bool) else str(value)

    def value(self, name: str | None) -> Fraction:
        return Fraction(1) if name is None else Fraction(self.body["data"].get(name, 0))


@dataclass
class Ledger:
    facts: dict[tuple[str, str, str], Fact] = field(default_factory=dict)

    @classmethod
    def of(cls, sent: Mapping[Stream, int]) -> "Ledger":
        """`sent` is how many batches of each stream were answered."""
        ledger = cls()
        for stream, count in sent.items():
            for batch in itertools.islice(stream.batches(), count):
                ledger.add(stream.slug, batch)
        return ledger

    def add(self, slug: str, batch: Iterable[Sent]) -> None:
        for each in batch:
            if each.outcome == "accepted":
                event = each.event
                fact = Fact(slug, event["source"], event["id"], event["type"], _moment(event["time"]), event)
                self.facts[fact.key] = fact

    # --- what the tables must hold -----------------------------------------------------------------------
    def rollups(self) -> dict[tuple[str, str, datetime, Pairs], Fraction]:
        sums: dict[tuple[str, str, datetime, Pairs], Fraction] = defaultdict(Fraction)
        for slug, meter, fact, pairs, value in self._counts():
            sums[slug, meter, _quarter(fact.time), pairs] += value
        return {key: value for key, value in sums.items() if value}

    def samples(self) -> dict[tuple[str, str, str], tuple[str, datetime, Fraction]]:
        return {
            fact.key: (fact.dimension("component"), fact.time, fact.value("bytes"))
            for fact in self.facts.values()
            if fact.type == STORAGE
        }

    # --- what a query must answer ------------------------------------------------------------------------
    def usage(
        self,
        slug: str,
        meter: str,
        start: datetime,
        end: datetime,
        *,
        window: str,
        group_by: str | None,
        zone: str,
    ) -> dict[tuple[datetime, str | None], Fraction]:
        """Per start of a window and value of the dimension. `start` and `end` lie on quarters of an hour."""
        sums: dict[tuple[datetime, str | None], Fraction] = defaultdict(Fraction)
        if meter == GAUGE:
            parts = self._held(slug, _cuts(start, end, window, zone))
        else:
            parts = (
                (max(start, _window_start(fact.time, window, zone)), dict(pairs), value)
                for of, known, fact, pairs, value in self._counts()
                if (of, known) == (slug, meter) and start <= fact.time < end and value
            )
        for begun, dimensions, value in parts:
            sums[begun, dimensions[group_by] if group_by else None] += value
        # Only what lasts has more than twelve places, and each result of a query is rounded to them once.
        return {key: round(value, 12) for key, value in sums.items() if value}

    def totals(self, slug: str) -> dict[tuple[str, Pairs], Fraction]:
        """Of each meter that counts events, whenever they happened."""
        sums: dict[tuple[str, Pairs], Fraction] = defaultdict(Fraction)
        for of, meter, _, pairs, value in self._counts():
            if of == slug and value:
                sums[meter, pairs] += value
        return dict(sums)

    def _counts(self) -> Iterator[tuple[str, str, Fact, Pairs, Fraction]]:
        for fact in self.facts.values():
            for meter, (type_, value, names) in COUNTED.items():
                if fact.type == type_:
                    pairs = tuple(sorted((name, fact.dimension(name)) for name in names))
                    yield fact.slug, meter, fact, pairs, fact.value(value)

    def _held(self, slug: str, cuts: list[datetime]) -> Iterator[tuple[datetime, dict[str, str], Fraction]]:
        """A sample holds until the next of its component. Exact gigabyte-months."""
        components: dict[str, list[tuple[datetime, str, str, Fraction]]] = defaultdict(list)
        for fact in self.facts.values():
            if fact.slug == slug and fact.type == STORAGE:
                components[fact.dimension("component")].append(
                    (fact.time, fact.source, fact.id, fact.value("bytes"))
                )
        for component, samples in components.items():
            samples.sort()
            ends = [sample[0] for sample in samples[1:]] + [cuts[-1]]
            sums: dict[datetime, Fraction] = defaultdict(Fraction)
            for (begun, _, _, value), ended in zip(samples, ends, strict=True):
                for left, right in itertools.pairwise(cuts):
                    if begun < right and ended > left:
                        sums[left] += value * _months(max(begun, left), min(ended, right)) / 10**9
            for left, total in sums.items():
                yield left, {"component": component}, total


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _quarter(moment: datetime) -> datetime:
    return moment - (moment - datetime(2000, 1, 1, tzinfo=UTC)) % QUARTER


def _window_start(moment: datetime, window: str, zone: str) -> datetime:
    """Hours begin with the clock's, and so do the zones' that differ from UTC by whole hours."""
    if window == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    local = moment.astimezone(ZoneInfo(zone))
    day = local.day if window == "day" else 1
    return datetime(local.year, local.month, day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def _cuts(start: datetime, end: datetime, window: str, zone: str) -> list[datetime]:
    last = _window_start(end - timedelta(microseconds=1), window, zone)
    found, moment = {start, end, max(start, last)}, start
    while moment < end:
        found.add(max(start, _window_start(moment, window, zone)))
        moment += timedelta(hours=1)
    return sorted(found)


def _months(start: datetime, end: datetime) -> Fraction:
    """[start, end) in months of UTC, each second a part of the month it lies in."""
    total = Fraction(0)
    while start < end:
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        until = min(end, following)
        total += Fraction(
            (until - start) // timedelta(microseconds=1), (following - first) // timedelta(microseconds=1)
        )
        start = until
    return total


def pairs_of(dimensions: Mapping[str, Any] | str) -> Pairs:
    given = json.loads(dimensions) if isinstance(dimensions, str) else dimensions
    return tuple(sorted((name, str(value)) for name, value in given.items()))
