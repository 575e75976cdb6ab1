"""The meters that exist: one literal table. A change of a meter's meaning needs a new `version` of it.

Aggregations of events: `sum` adds a value of their data, `count` adds one each, `max` takes the highest value,
`unique` counts distinct values, `latest` takes the last sample of each component inside the window, and
`time_weighted` integrates a gauge over time, each sample holding until the next of its component. `span` measures
how long resources existed. None depends on the order in which events come in.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE
from controlplane.core.errors import ValidationFailed

#: Raised with any meter that is added, changed or removed.
CATALOGUE_VERSION: Final = 2

Aggregation = Literal["sum", "count", "max", "unique", "latest", "time_weighted", "span"]
USER: Final = "user"


@dataclass(frozen=True)
class Filter:
    """Only events whose `dimension` has one of `values` count; the dimension need not be one of the meter's."""

    dimension: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Meter:
    """`dimensions` may be grouped by; the first is the one reports group by.

    `by_user`: may be grouped by the user, too; kept by the hour and apart, since users are many. `value` names the
    member of the data that is aggregated (for `unique` the one whose values are told apart), `factor` turns it into
    `unit`. `series` is the meter under whose key the gauge's samples are stored, where that is another one.
    """

    key: str
    aggregation: Aggregation
    unit: str
    description: str
    dimensions: tuple[str, ...]
    event_type: str | None = None
    value: str | None = None
    version: int = 1
    filters: tuple[Filter, ...] = ()
    by_user: bool = False
    factor: Decimal = Decimal(1)
    series: str | None = None

    @property
    def additive(self) -> bool:
        """Whether the totals of its dimensions add up to the total; a maximum or a number of users do not."""
        return self.aggregation not in ("max", "unique")

    @property
    def adds_over_time(self) -> bool:
        """Whether the totals of days add up to the month's."""
        return self.aggregation not in ("max", "unique", "latest")

    @property
    def groupable(self) -> tuple[str, ...]:
        return (*self.dimensions, USER) if self.by_user else self.dimensions


def _tokens(key: str, description: str) -> Meter:
    return Meter(
        key, "sum", "token", description, ("model", "agent"), event_type=MODEL_USAGE, value=key, by_user=True
    )


_MILLISECOND: Final = Decimal("0.001")

_ALL: Final = (
    _tokens("input_tokens", "Input tokens, without cached ones"),
    _tokens("cached_input_tokens", "Input tokens read from the model's cache"),
    _tokens("cache_write_tokens", "Input tokens written to the model's cache"),
    _tokens("output_tokens", "Output tokens, without reasoning"),
    _tokens("reasoning_tokens", "Reasoning tokens"),
    Meter(
        "tool_calls",
        "count",
        "call",
        "Tool calls",
        ("tool", "agent", "cached"),
        event_type=TOOL_USAGE,
        by_user=True,
    ),
    Meter(
        "agent_runs",
        "count",
        "run",
        "Agent runs",
        ("agent", "outcome"),
        event_type=RUN_USAGE,
        by_user=True,
    ),
    Meter(
        "failed_runs",
        "count",
        "run",
        "Agent runs that ended with an error or ran out of time",
        ("agent", "outcome"),
        event_type=RUN_USAGE,
        filters=(Filter("outcome", ("error", "timeout")),),
        by_user=True,
    ),
    Meter(
        "run_seconds",
        "sum",
        "second",
        "Time that agent runs took",
        ("agent", "outcome"),
        event_type=RUN_USAGE,
        value="duration_ms",
        factor=_MILLISECOND,
        by_user=True,
    ),
    Meter(
        "longest_run_seconds",
        "max",
        "second",
        "The longest agent run",
        ("agent", "outcome"),
        event_type=RUN_USAGE,
        value="duration_ms",
        factor=_MILLISECOND,
    ),
    Meter(
        "active_users",
        "unique",
        "user",
        "Users who ran an agent",
        ("agent",),
        event_type=RUN_USAGE,
        value=USER,
    ),
    Meter(
        "storage_gb_months",
        "time_weighted",
        "GB-month",
        "Stored data (10^9 bytes, averaged over the UTC month)",
        ("component",),
        event_type=STORAGE_USAGE,
        value="bytes",
    ),
    Meter(
        "storage_bytes",
        "latest",
        "byte",
        "Stored data as last reported",
        ("component",),
        event_type=STORAGE_USAGE,
        value="bytes",
        series="storage_gb_months",
    ),
    Meter("gpu_hours", "span", "hour", "GPU hours, from creation to deletion", ("resource", "model")),
    Meter("runtime_hours", "span", "hour", "Agent runtime hours, from creation to deletion", ("resource",)),
    Meter(
        "database_hours",
        "span",
        "hour",
        "Database hours, from creation to deletion",
        ("resource", "component"),
    ),
)
METERS: Final[dict[str, Meter]] = {meter.key: meter for meter in _ALL}
#: Which meters one event feeds.
METERS_BY_EVENT: Final[dict[str, tuple[Meter, ...]]] = {
    event_type: tuple(meter for meter in _ALL if meter.event_type == event_type)
    for event_type in (MODEL_USAGE, TOOL_USAGE, RUN_USAGE, STORAGE_USAGE)
}


def meter_get(key: str) -> Meter:
    """Raises ValidationFailed naming `meter`, with the ones that exist."""
    try:
        return METERS[key]
    except KeyError:
        raise ValidationFailed.of("meter", f"there is no such meter; there are {', '.join(METERS)}") from None


def dimension_check(meter: Meter, group_by: str | None) -> None:
    """Raises ValidationFailed naming `group_by` unless it is None or a dimension of the meter."""
    if group_by is not None and group_by not in meter.groupable:
        known = ", ".join(meter.groupable)
        raise ValidationFailed.of("group_by", f"{meter.key} can be grouped by {known}")
