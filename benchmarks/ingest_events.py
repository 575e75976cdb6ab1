"""The events that the ingest benchmarks send, and what they must add up to."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from uuid import UUID, uuid5

BATCH = 1000
#: The month before this one: all of it has passed.
MONTH = (
    datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
).replace(day=1)
NEXT_MONTH = (MONTH + timedelta(days=31)).replace(day=1)
METER = "input_tokens"
_MARK = "########"
_TIME = "2000-01-01T00:00:00+00:00"
_NAMES = UUID("8f0e1b52-6a5c-4c39-9d0e-3c6d0a6f4a11")


@dataclass(frozen=True)
class Stream:
    """`batches` batches of one tenant; the n-th of each is always the same bytes."""

    slug: str
    batches: int

    @property
    def tenant_id(self) -> UUID:
        return uuid5(_NAMES, self.slug)

    @property
    def total(self) -> int:
        """Input tokens of all of it."""
        return self.batches * sum(_tokens(number) for number in range(BATCH))

    def body(self, number: int) -> bytes:
        """One batch as a request carries it. Batches lie at even distances in the month."""
        moment = MONTH + (NEXT_MONTH - MONTH) * number / max(1, self.batches)
        time = moment.replace(microsecond=0).isoformat()
        return (
            _template(self.slug)
            .replace(_MARK.encode(), b"%08d" % number)
            .replace(_TIME.encode(), time.encode())
        )


def _tokens(number: int) -> int:
    return 1000 + number


@cache
def _template(slug: str) -> bytes:
    return json.dumps([_event(slug, number) for number in range(BATCH)], separators=(",", ":")).encode()


def _event(slug: str, number: int) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "id": f"{_MARK}:call:{number}:model:1",
        "source": f"/tenants/{slug}/runtime/0",
        "type": "freehold.model.usage.v1",
        "subject": slug,
        "time": _TIME,
        "datacontenttype": "application/json",
        "data": {
            "run_id": f"{_MARK}-{number // 3}",
            "step": "call",
            "user": f"user-{number % 20}",
            "agent": f"agent-{number % 3}",
            "agent_version": "1",
            "model": f"model-{number % 2}",
            "input_tokens": str(_tokens(number)),
            "cached_input_tokens": "200",
            "cache_write_tokens": "10",
            "output_tokens": str(100 + number % 50),
            "reasoning_tokens": "20",
        },
    }
