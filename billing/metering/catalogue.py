"""The meters that exist: one literal table. A change of meaning needs a new version of it.

Aggregations: `sum` adds a value of the event's data; `count` adds one per event; `time_weighted` integrates a
gauge over time, each sample holding until the next of its component; `span` measures how long resources
existed.
"""

from dataclasses import dataclass
from typing import Final, Literal

from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE
from controlplane.core.errors import ValidationFailed

CATALOGUE_VERSION: Final = 1

Aggregation = Literal["sum", "count", "time_weighted", "span"]


@dataclass(frozen=True)
class Meter:
    """`dimensions` may be grouped by; the first is the one reports group by."""

    key: str
    aggregation: Aggregation
    unit: str
    description: str
    dimensions: tuple[str, ...]
    event_type: str | None = None
    value: str | None = None


def _tokens(key: str, description: str) -> Meter:
    return Meter(key, "sum", "token", description, ("model", "agent"), event_type=MODEL_USAGE, value=key)


_ALL: Final = (
    _tokens("input_tokens", "Input tokens, without cached ones"),
    _tokens("cached_input_tokens", "Input tokens read from the model's cache"),
    _tokens("cache_write_tokens", "Input tokens written to the model's cache"),
    _tokens("output_tokens", "Output tokens, without reasoning"),
    _tokens("reasoning_tokens", "Reasoning tokens"),
    Meter("tool_calls", "count", "call", "Tool calls", ("tool", "agent", "cached"), event_type=TOOL_USAGE),
    Meter("agent_runs", "count", "run", "Agent runs", ("agent", "outcome"), event_type=RUN_USAGE),
    Meter(
        "storage_gb_months",
        "time_weighted",
        "GB-month",
        "Stored data (10^9 bytes, averaged over the UTC month)",
        ("component",),
        event_type=STORAGE_USAGE,
        value="bytes",
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
    if group_by is not None and group_by not in meter.dimensions:
        known = ", ".join(meter.dimensions)
        raise ValidationFailed.of("group_by", f"{meter.key} can be grouped by {known}")
