"""Usage events: CloudEvents 1.0 (contract.md section 4), as the runtime sends and billing stores them."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.base import Contract

MODEL_USAGE: Final = "freehold.model.usage.v1"
TOOL_USAGE: Final = "freehold.tool.usage.v1"
RUN_USAGE: Final = "freehold.run.usage.v1"
STORAGE_USAGE: Final = "freehold.storage.usage.v1"

#: Token counts arrive as integers or as decimal strings; never as floats.
Count = Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=12)]
Short = Annotated[str, Field(min_length=1, max_length=200)]


class UsageData(BaseModel):
    """Data of an event. Unknown members are kept out of the bill but do not refuse the event."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ModelUsage(UsageData):
    """Tokens in disjoint parts: `input_tokens` excludes cached ones, so no token counts twice."""

    run_id: Short
    step: int | Short
    user: Short
    agent: Short
    agent_version: Short = "1"
    model: Short
    input_tokens: Count = Decimal(0)
    cached_input_tokens: Count = Decimal(0)
    cache_write_tokens: Count = Decimal(0)
    output_tokens: Count = Decimal(0)
    reasoning_tokens: Count = Decimal(0)


class ToolUsage(UsageData):
    run_id: Short
    step: int | Short
    user: Short
    agent: Short
    tool: Short
    cached: bool = False
    duration_ms: Count = Decimal(0)


class RunUsage(UsageData):
    run_id: Short
    user: Short
    agent: Short
    outcome: Literal["success", "error", "timeout", "interrupted", "canceled"]
    duration_ms: Count = Decimal(0)
    model_calls: int = 0
    tool_calls: int = 0


class StorageUsage(UsageData):
    """A gauge: `bytes` held by `component` at the event's time."""

    component: Short
    bytes: Count


DATA_TYPES: Final[dict[str, type[UsageData]]] = {
    MODEL_USAGE: ModelUsage,
    TOOL_USAGE: ToolUsage,
    RUN_USAGE: RunUsage,
    STORAGE_USAGE: StorageUsage,
}


class UsageEvent(Contract):
    """A CloudEvents 1.0 envelope in structured JSON; extension attributes are allowed and kept.

    `source` is `/tenants/{slug}/runtime/{replica}`; `id` is unique per source for ever.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)

    specversion: Literal["1.0"] = "1.0"
    id: Annotated[str, Field(min_length=1, max_length=255)]
    source: Annotated[str, Field(min_length=1, max_length=255)]
    type: Annotated[str, Field(min_length=1, max_length=255)]
    subject: Annotated[str, Field(min_length=1, max_length=255)]
    time: AwareDatetime
    datacontenttype: str = "application/json"
    data: dict[str, Any]


class IngestResult(Contract):
    id: str
    outcome: Literal["accepted", "duplicate", "conflict", "rejected"]
    reason: str | None = None


class IngestAnswer(Contract):
    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    results: list[IngestResult]


__all__ = [
    "DATA_TYPES",
    "MODEL_USAGE",
    "RUN_USAGE",
    "STORAGE_USAGE",
    "TOOL_USAGE",
    "IngestAnswer",
    "IngestResult",
    "ModelUsage",
    "RunUsage",
    "StorageUsage",
    "ToolUsage",
    "UsageData",
    "UsageEvent",
]
