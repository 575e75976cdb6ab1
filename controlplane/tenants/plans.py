"""The plan catalogue: read once from catalogue/plans.toml, checked, and handed out frozen."""

import tomllib
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from contracts.base import Contract
from contracts.stack import CacheSize, GpuSize, PostgresSize, VectorStoreSize

Approval = Literal["always", "stateful", "never"]

CATALOGUE = Path(__file__).parent / "catalogue" / "plans.toml"


class RuntimeSize(Contract):
    workers: int = Field(default=1, ge=1, le=64)


class Sizes(Contract):
    """What a tenant's stack is made of. A tenant's overrides replace single values of this."""

    postgres: PostgresSize
    cache: CacheSize
    vector_store: VectorStoreSize
    gpu: GpuSize
    runtime: RuntimeSize


class Limits(Contract):
    agents: int
    users: int
    concurrent_runs: int
    storage_gb: int


class Plan(Contract):
    """`rate_card` is billing's to understand: {version, base_fee, prices} (billing/rating/cards.py)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    name: str
    description: str
    deletion_protection: bool
    #: When a person must approve a change: always, stateful (data would be lost), never.
    approval: Approval = "stateful"
    #: The same for single kinds of operation, such as {refresh = "never"}.
    approval_by_kind: dict[str, Approval] = {}
    #: Whether every change of a tenant labelled environment=production is approved.
    approval_production: bool = False
    #: Whether a last snapshot is taken, and proven by a restore drill, before a tenant is destroyed.
    final_snapshot: bool = True
    #: Whether whoever deletes a tenant may do without; an administrator always may.
    final_snapshot_optional: bool = True
    #: By how much a month, in the price tables' currency, a change may raise a stack's cost without approval.
    approval_cost_increase: Decimal | None = Field(default=None, ge=0)
    sizes: Sizes
    limits: Limits
    rate_card: dict[str, Any]


@cache
def plans() -> dict[str, Plan]:
    """Every plan by key, in the catalogue's order. A broken catalogue raises when the process starts to use it."""
    raw = _catalogue()["plans"]
    return {key: Plan.model_validate({"key": key, **_with_currency(key, body)}) for key, body in raw.items()}


def rate_cards() -> list[dict[str, Any]]:
    """The plans' rate cards, then those of `[rate_cards.KEY]`, which no plan has but agreements may name."""
    further = _catalogue().get("rate_cards", {})
    return [
        *(plan.rate_card for plan in plans().values()),
        *({"key": key, "currency": "USD", **body} for key, body in further.items()),
    ]


@cache
def _catalogue() -> dict[str, Any]:
    with CATALOGUE.open("rb") as file:
        return tomllib.load(file)


def _with_currency(key: str, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "rate_card": {"key": key, "currency": "USD", **body["rate_card"]}}
