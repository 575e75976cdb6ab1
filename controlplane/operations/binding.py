"""What an approval binds to, and which part of it moved. Pure decisions.

Pulumi itself applies a saved plan to a state that has moved since (facts in docs/adr/0009); here a plan stands
only while everything it was computed from stands.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.base import Contract
from contracts.engine import PlanFacts
from contracts.planned import STATEFUL_RULE, PlanAssessment
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
    policy_hash: str = ""
    cost_hash: str = ""
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
    "policy_hash": "the policy's findings",
    "cost_hash": "the cost",
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
    assessment: PlanAssessment,
    computed_at: datetime,
    expires_at: datetime,
) -> PlanBinding:
    cost = assessment.cost
    changes = sorted((r["urn"], r["op"], _digest(r["diffs"])) for r in plan if r["op"] != "same")
    return PlanBinding(
        plan_id=plan_id,
        **facts.model_dump(),
        spec_hash=_digest(spec.model_dump(mode="json")),
        state_version=state_version,
        changes_hash=_digest(changes),
        policy_hash=_digest(assessment.policy.model_dump(mode="json")),
        cost_hash=_digest([cost.monthly_before, cost.monthly_after, cost.currency] if cost else None),
        computed_at=computed_at,
        expires_at=expires_at,
    )


def binding_moved(approved: PlanBinding, current: PlanBinding) -> list[str]:
    """The parts that differ, in words; empty when the approval still stands."""
    return [words for part, words in _PARTS.items() if getattr(approved, part) != getattr(current, part)]


APPROVE_ALWAYS = "always"
APPROVE_STATEFUL = "stateful"
APPROVE_NEVER = "never"
APPROVAL_RULES = (APPROVE_ALWAYS, APPROVE_STATEFUL, APPROVE_NEVER)


def approval_reason(
    *,
    kind: str,
    rule: str,
    requested: bool,
    assessment: PlanAssessment,
    cost_limit: Decimal | None,
    second_person: bool = False,
) -> str | None:
    """Why a person must approve this plan; None when nobody need.

    `rule` is the tenant's plan's. A deprovision is the deletion that was asked for, so only a request for approval
    or the rule `always` stops it; a first provision has nothing to lose, so only a request does. `cost_limit` is by
    how much a change may raise the monthly cost; for resources of unknown price nothing is assumed.
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
        lost = [finding for finding in assessment.policy.findings if finding.rule == STATEFUL_RULE]
        if lost:
            names = ", ".join(sorted(finding.name for finding in lost))
            return f"Data would be lost, by replacing or deleting {names}."
    cost = assessment.cost
    # A resume returns to what was agreed before.
    if kind == "resume" or cost is None:
        return None
    more = Decimal(cost.monthly_after) - Decimal(cost.monthly_before)
    if cost_limit is not None and more > cost_limit:
        return (
            f"The monthly cost would rise by {more} {cost.currency}; "
            f"the tenant's plan allows {cost_limit} without approval."
        )
    return None
