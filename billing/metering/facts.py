"""What valid events add up to, per quarter of an hour: from events to the rows that are stored. Pure.

A fact is what all events of one type, quarter and set of dimension values have in common; every meter of that type
is derived from it. So an event costs one addition, however many meters it feeds.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cache, lru_cache
from operator import add, attrgetter
from typing import Any, Final

import msgspec

from billing.exact import WIDE
from billing.metering.catalogue import METERS_BY_EVENT, USER, Meter

Number = int | Decimal
#: (series, start of the bucket in seconds since 1970, dimensions as canonical JSON)
RollupKey = tuple[str, int, str]
#: (meter, start of the bucket, dimensions, the value)
MemberKey = tuple[str, int, str, str]
FactKey = tuple[str, int, tuple[Any, ...]]

QUARTER_S: Final = 900
HOUR_S: Final = 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class ValidEvent(msgspec.Struct, gc=False):
    """An event that counts.

    `time_text` is `time` for Postgres, `body` its canonical JSON; `values` and `numbers` are in the order of `Reader`.
    """

    source: str
    event_id: str
    type: str
    time: datetime
    time_text: str
    body: bytes
    body_hash: bytes
    values: tuple[Any, ...]
    numbers: tuple[Number, ...]

    @property
    def key(self) -> tuple[str, str]:
        return (self.source, self.event_id)


@dataclass(frozen=True)
class Reader:
    """Which members of an event type's data count: texts to tell events apart by, and numbers to add up."""

    texts: tuple[str, ...]
    figures: tuple[str, ...]


@dataclass
class Fact:
    events: int
    sums: tuple[Number, ...]
    highest: tuple[Number, ...]


@dataclass
class Rows:
    """What is added to the stored rows. `sums` add up, of `highest` the higher stands, `members` count events."""

    sums: dict[RollupKey, Number] = field(default_factory=dict)
    highest: dict[RollupKey, Number] = field(default_factory=dict)
    members: dict[MemberKey, int] = field(default_factory=dict)


def _reader(event_type: str) -> Reader:
    texts: dict[str, None] = {}
    figures: dict[str, None] = {}
    for meter in METERS_BY_EVENT[event_type]:
        texts |= dict.fromkeys([*meter.groupable, *(each.dimension for each in meter.filters)])
        if meter.value is not None:
            (texts if meter.aggregation == "unique" else figures)[meter.value] = None
    return Reader(tuple(texts), tuple(figures))


READERS: Final[dict[str, Reader]] = {event_type: _reader(event_type) for event_type in METERS_BY_EVENT}
_WITH_MAXIMA: Final = frozenset(
    event_type
    for event_type, meters in METERS_BY_EVENT.items()
    if any(meter.aggregation == "max" for meter in meters)
)


def tuple_getter(names: tuple[str, ...]) -> Any:
    """A fast `attrgetter` that gives a tuple for none and for one name, too."""
    if not names:
        return lambda data: ()
    get = attrgetter(*names)
    return get if len(names) > 1 else lambda data: (get(data),)


def seconds_of(moment: datetime) -> int:
    """Whole seconds since 1970, towards the past; exact for every moment of the calendar."""
    return (moment - _EPOCH) // _SECOND


def moment_of(seconds: int) -> datetime:
    return _EPOCH + seconds * _SECOND


def facts_of(events: Iterable[ValidEvent]) -> dict[FactKey, Fact]:
    facts: dict[FactKey, Fact] = {}
    with localcontext(WIDE):  # the default context of decimals would round
        for event in events:
            seconds = seconds_of(event.time)
            key = (event.type, seconds - seconds % QUARTER_S, event.values)
            fact = facts.get(key)
            if fact is None:
                facts[key] = Fact(1, event.numbers, event.numbers)
                continue
            fact.events += 1
            fact.sums = tuple(map(add, fact.sums, event.numbers))
            if event.type in _WITH_MAXIMA:
                fact.highest = tuple(map(max, fact.highest, event.numbers))
    return facts


def rows_of(facts: dict[FactKey, Fact]) -> Rows:
    """Every row that the facts change; what adds nothing is left out."""
    rows = Rows()
    for (event_type, bucket, values), fact in facts.items():
        for meter, index, dimensions, detailed in _targets(event_type, values):
            if meter.aggregation == "unique" and index is not None:
                member = (meter.key, bucket - bucket % HOUR_S, dimensions, str(values[index]))
                rows.members[member] = rows.members.get(member, 0) + fact.events
            elif meter.aggregation == "max" and index is not None:
                key = (meter.key, bucket, dimensions)
                rows.highest[key] = max(rows.highest.get(key, 0), scaled(meter, fact.highest[index]))
            elif value := fact.events if index is None else scaled(meter, fact.sums[index]):
                _add(rows.sums, (meter.key, bucket, dimensions), value)
                if detailed is not None:
                    _add(rows.sums, (series_by_user(meter), bucket - bucket % HOUR_S, detailed), value)
    return rows


def series_by_user(meter: Meter) -> str:
    """The rollup of a meter that knows the user, too."""
    return f"{meter.key}:{USER}"


def scaled(meter: Meter, value: Number) -> Number:
    return value if meter.factor == 1 else WIDE.multiply(meter.factor, Decimal(value))


def number_add(left: Number, right: Number) -> Number:
    """Exact, whatever the lengths: the default context of decimals would round."""
    if type(left) is int and type(right) is int:
        return left + right
    return WIDE.add(Decimal(left), Decimal(right))


def number_text(value: Number) -> str:
    """Plain notation. (Formatting a whole number with "f" would go through a float.)"""
    return str(value) if isinstance(value, int) else format(value, "f")


def dimensions_json(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    """Canonical JSON of the dimensions; a flag as "true" or "false"."""
    texts = (str(value).lower() if isinstance(value, bool) else str(value) for value in values)
    return _encode(dict(zip(names, texts, strict=True))).decode()


@lru_cache(maxsize=20_000)
def _targets(
    event_type: str, values: tuple[Any, ...]
) -> tuple[tuple[Meter, int | None, str, str | None], ...]:
    """The meters that such an event feeds: where their value stands among the event's numbers (of `unique`: its
    values), their dimensions and, for those that know it, these with the user."""
    return tuple(
        (
            meter,
            _place(meter, READERS[event_type]),
            _dimensions(event_type, meter.dimensions, values),
            _dimensions(event_type, meter.groupable, values) if meter.by_user else None,
        )
        for meter in _summed(event_type)
        if passes(meter, event_type, values)
    )


def passes(meter: Meter, event_type: str, values: tuple[Any, ...]) -> bool:
    """Whether the meter's filters let such an event through."""
    texts = READERS[event_type].texts
    return all(_text(values[texts.index(each.dimension)]) in each.values for each in meter.filters)


def _place(meter: Meter, reader: Reader) -> int | None:
    if meter.value is None:
        return None
    return (reader.texts if meter.aggregation == "unique" else reader.figures).index(meter.value)


def _dimensions(event_type: str, names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    texts = READERS[event_type].texts
    return dimensions_json(names, tuple(values[texts.index(name)] for name in names))


@cache
def _summed(event_type: str) -> tuple[Meter, ...]:
    gauges = ("time_weighted", "latest")
    return tuple(meter for meter in METERS_BY_EVENT[event_type] if meter.aggregation not in gauges)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add(sums: dict[RollupKey, Number], key: RollupKey, value: Number) -> None:
    held = sums.get(key)
    sums[key] = value if held is None else number_add(held, value)
