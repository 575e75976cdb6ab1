"""What is told of a plan's assessment: in a sentence, and as a failure. Pure."""

from collections.abc import Mapping
from typing import Any

from contracts.planned import PlanAssessment, PolicyReport
from controlplane.operations.failures import failure

#: Of a plan that denies, the failure's detail names this many findings; the plan has all.
_MOST_FINDINGS = 20


def plan_sentence(summary: Mapping[str, Any], assessment: PlanAssessment) -> str:
    """`3 to create, 1 to replace. 2 policy findings. 12.00 -> 19.50 USD a month.`"""
    parts = [
        f"{summary[key]} to {key}" for key in ("create", "update", "replace", "delete") if summary.get(key)
    ]
    told = [f"{', '.join(parts)}." if parts else "No changes."]
    findings, cost = assessment.policy.findings, assessment.cost
    if findings:
        told.append(f"{len(findings)} policy finding{'s' if len(findings) > 1 else ''}.")
    if cost is not None and cost.monthly_before != cost.monthly_after:
        told.append(f"{cost.monthly_before} -> {cost.monthly_after} {cost.currency} a month.")
    return " ".join(told)


def denied_failure(policy: PolicyReport) -> dict[str, Any]:
    """The error of an operation whose plan a rule denies. Nothing was changed."""
    told = [f"{found.type} {found.name}: {found.message} ({found.rule})" for found in policy.denied]
    more = len(told) - _MOST_FINDINGS
    shown = told[:_MOST_FINDINGS] + ([f"and {more} more"] if more > 0 else [])
    detail = "\n".join(["Nothing was changed.", *shown])
    return failure("policy_denied", what="The plan was stopped", detail=detail)
