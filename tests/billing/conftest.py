"""Fixtures of billing's tests: a tenant, its events, and a moment to count from."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from billing.metering.services import usage_ingest
from billing.rating.cards import RateCard
from contracts.usage import MODEL_USAGE, IngestAnswer

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
Event = dict[str, Any]


@dataclass(frozen=True)
class Tenant:
    id: UUID
    slug: str = "acme"
    name: str = "Acme"
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def tenant() -> Tenant:
    return Tenant(id=uuid4())


@pytest.fixture
def event() -> Callable[..., Event]:
    """Makes one event; further keywords go into its data."""

    def make(event_id: str = "1", time: datetime = NOW, type: str = MODEL_USAGE, **data: Any) -> Event:
        usual = {
            "run_id": "r", "step": 1, "user": "u", "agent": "support", "model": "m-1", "tool": "search",
            "outcome": "success",
        }  # fmt: skip
        return {
            "specversion": "1.0",
            "id": event_id,
            "source": "/tenants/acme/runtime/0",
            "type": type,
            "subject": "acme",
            "time": time.isoformat(),
            "data": {**usual, **data},
        }

    return make


@pytest.fixture
def ingest(db: None, tenant: Tenant) -> Callable[..., IngestAnswer]:
    def send(*events: Any, received_at: datetime = NOW) -> IngestAnswer:
        return usage_ingest(tenant_id=tenant.id, subject="acme", events=events, received_at=received_at)

    return send


@pytest.fixture
def card() -> RateCard:
    return RateCard.model_validate(
        {
            "key": "pro",
            "version": 1,
            "base_fee": "499",
            "prices": [
                {"meter": "input_tokens", "unit_price": "3", "per": 1000000, "match": {"model": "m-1"}},
                {"meter": "input_tokens", "unit_price": "1.10", "per": 1000000},
                {"meter": "output_tokens", "unit_price": "15", "per": 1000000, "included": 1000},
                {"meter": "agent_runs", "unit_price": "0.013", "included": "2"},
                {"meter": "tool_calls", "unit_price": "0.001", "match": {"cached": "false"}},
                {"meter": "storage_gb_months", "unit_price": "0.25"},
                {"meter": "gpu_hours", "unit_price": "2.4799"},
            ],
        }
    )
