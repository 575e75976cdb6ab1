"""The questions put to the usage query, and how they go over the wire to the process that answers them."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Question:
    meter: str
    window: str
    group_by: str | None
    zone: str


QUESTIONS = (
    Question("input_tokens", "day", "model", "Europe/Berlin"),
    Question("output_tokens", "month", "agent", "Asia/Kathmandu"),
    Question("reasoning_tokens", "hour", None, "UTC"),
    Question("cache_write_tokens", "day", None, "America/St_Johns"),
    Question("tool_calls", "hour", "cached", "UTC"),
    Question("agent_runs", "month", "outcome", "UTC"),
    Question("storage_gb_months", "month", "component", "UTC"),
    Question("storage_gb_months", "day", None, "Europe/Berlin"),
)


def span_asked(at: datetime) -> tuple[datetime, datetime]:
    """From the start of a month before every event to the last full hour."""
    end = at.replace(minute=0, second=0, microsecond=0)
    start = (at - timedelta(days=90)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(UTC), end.astimezone(UTC)


def query_wire(question: Question, *, tenant_id: str, start: datetime, end: datetime) -> dict[str, Any]:
    return {**asdict(question), "tenant_id": tenant_id, "start": start.isoformat(), "end": end.isoformat()}


def query_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `usage_query`; a gauge is measured up to the end, and so at any moment after it."""
    start, end = (datetime.fromisoformat(given[name]) for name in ("start", "end"))
    return {
        "tenant_id": UUID(given["tenant_id"]), "meter": given["meter"], "start": start, "end": end,
        "window": given["window"], "group_by": given["group_by"], "timezone": given["zone"], "as_of": end,
    }  # fmt: skip


def query_parameters(question: Question, *, start: datetime, end: datetime) -> dict[str, str]:
    """The same as parameters of `GET /api/v1/tenants/{slug}/usage`."""
    found = {
        "meter": question.meter, "window": question.window, "timezone": question.zone,
        "from": start.isoformat(), "to": end.isoformat(),
    }  # fmt: skip
    return {**found, **({"group_by": question.group_by} if question.group_by else {})}
