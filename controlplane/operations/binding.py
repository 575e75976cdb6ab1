"""What an approval binds to, and which part of it moved. Pure decisions.

Pulumi itself applies a saved plan to a state that has moved since (facts in docs/adr/0009); here a plan stands
only while everything it was computed from stands.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.base import Contract
from contracts.engine import PlanFacts
from contracts.stack import StackSpec


class PlanBinding(Contract):
    """Stored with the plan; an apply under approval is refused when any part but the id and the times moved."""

    plan_id: UUID
    program_hash: str
    spec_hash: str
    state_version: int
    state_hash: str
    cli_version: str
    sdk_version: str
    changes_hash: str
    computed_at: datetime
    expires_at: datetime


#: Part -> how a person calls it.
_PARTS = {
    "program_hash": "the stack program",
    "spec_hash": "the tenant's specification",
    "state_version": "the stack's state (another operation ran)",
    "state_hash": "the stack's state",
    "cli_version": "the Pulumi CLI's version",
    "sdk_version": "the Pulumi SDK's version",
    "changes_hash": "the planned changes",
}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def binding_make(
    *,
    plan_id: UUID,
    facts: PlanFacts,
    spec: StackSpec,
    state_version: int,
    plan: Sequence[Mapping[str, Any]],
    computed_at: datetime,
    expires_at: datetime,
) -> PlanBinding:
    changes = sorted((r["urn"], r["op"], _digest(r["diffs"])) for r in plan if r["op"] != "same")
    return PlanBinding(
        plan_id=plan_id,
        **facts.model_dump(),
        spec_hash=_digest(spec.model_dump(mode="json")),
        state_version=state_version,
        changes_hash=_digest(changes),
        computed_at=computed_at,
        expires_at=expires_at,
    )


def binding_moved(approved: PlanBinding, current: PlanBinding) -> list[str]:
    """The parts that differ, in words; empty when the approval still stands."""
    return [words for part, words in _PARTS.items() if getattr(approved, part) != getattr(current, part)]


#: Resource types that hold a tenant's data: losing one loses data.
STATEFUL_TYPES = frozenset(
    {"local:index:PostgresServer", "local:index:RedisServer", "local:index:DataDirectory"}
)

APPROVE_ALWAYS = "always"
APPROVE_STATEFUL = "stateful"
APPROVE_NEVER = "never"
APPROVAL_RULES = (APPROVE_ALWAYS, APPROVE_STATEFUL, APPROVE_NEVER)


def approval_reason(
    *,
    kind: str,
    rule: str,
    requested: bool,
    plan: Sequence[Mapping[str, Any]],
    second_person: bool = False,
) -> str | None:
    """Why a person must approve this plan; None when nobody need.

    `rule` is the tenant's plan's. A deprovision is the deletion that was asked for, so only a request for approval
    or the rule `always` stops it; a first provision has nothing to lose, so only a request does.
    """
    if second_person:
        return "A production tenant is deleted only with another person's approval."
    if requested:
        return "Approval was asked for with the request."
    if kind == "provision":
        return None
    if rule == APPROVE_ALWAYS:
        return "The tenant's plan wants every change approved."
    if rule == APPROVE_STATEFUL and kind != "deprovision":
        lost = [r for r in plan if r["op"] in ("replace", "delete") and r["type"] in STATEFUL_TYPES]
        if lost:
            names = ", ".join(f"{r['op']} {r['name']}" for r in lost)
            return f"Data would be lost: {names}."
    return None
