"""What a benchmark hands back: figures with units, and the facts one needs to judge them."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

Unit = Literal[
    "s",
    "ms",
    "MiB",
    "events/s",
    "runs/s",
    "requests/s",
    "%",
    "bytes",
    "events",
    "invoices",
    "queries",
    "score",
]

#: Below this many measurements a 95th percentile would only be the maximum by another name.
LEAST_FOR_P95 = 20


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Frozen):
    """One figure: a single `value`, or the spread of `n` measurements."""

    name: str
    unit: Unit
    n: int
    value: float | None = None
    p50: float | None = None
    p95: float | None = None
    max: float | None = None


class Result(Frozen):
    """What `run()` of a benchmark returns. `facts` are settings and sizes that the figures depend on."""

    name: str
    figures: list[Figure]
    facts: dict[str, str]


class Machine(Frozen):
    cores: int
    memory_gib: float
    cpu: str
    system: str
    python: str


class Record(Frozen):
    """A result as it is kept in benchmarks/results/<name>.json."""

    result: Result
    took_s: float
    machine: Machine
    date: str
    command: str
    commit: str
    note: str


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest measurement that at least `share` of them do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def spread(name: str, unit: Unit, values: Sequence[float]) -> Figure:
    """Median, 95th percentile where there is enough to speak of one, and maximum."""
    return Figure(
        name=name,
        unit=unit,
        n=len(values),
        p50=rounded(percentile(values, 0.5)),
        p95=rounded(percentile(values, 0.95)) if len(values) >= LEAST_FOR_P95 else None,
        max=rounded(max(values)),
    )


def single(name: str, unit: Unit, value: float, *, n: int = 1) -> Figure:
    """One value; `n` is what it was taken from (a rate's number of events, for one)."""
    return Figure(name=name, unit=unit, n=n, value=rounded(value))


def rounded(value: float) -> float:
    """Three significant digits, and whole numbers from 100 on: more would claim what was not measured."""
    if value == 0:
        return 0.0
    return round(value, max(0, 2 - math.floor(math.log10(abs(value)))))
