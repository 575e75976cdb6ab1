"""A plan as clients read it, from the API and from a preview that ran elsewhere. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from contracts.planned import PlanAssessment

_ORDER = {"delete": 0, "replace": 1, "update": 2, "create": 3}


def resources_representation(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """[{urn, type, name, op, diffs}]; what destroys comes first, and of properties only paths are told."""
    return sorted(rows, key=lambda row: (_ORDER.get(row["op"], 9), row["type"], row["name"]))


def cost_representation(assessment: Mapping[str, Any] | None) -> dict[str, Any]:
    """{monthly_before, monthly_after, currency, unknown}: decimal strings, null before a plan was computed and for work
    on data alone; `unknown` counts the resources whose price nobody knows, so that the sums are at least this much."""
    if assessment is None or assessment["cost"] is None:
        return {"monthly_before": None, "monthly_after": None, "currency": "USD", "unknown": 0}
    cost = assessment["cost"]
    return {
        "monthly_before": cost["monthly_before"],
        "monthly_after": cost["monthly_after"],
        "currency": cost["currency"],
        "unknown": len(cost["unknown"]),
    }


def assessment_representation(assessment: Mapping[str, Any] | None) -> dict[str, Any]:
    """{policy: {denied, rules, findings}, cost_lines, cost_unknown, prices} of a plan."""
    if assessment is None:
        return {
            "policy": {"denied": False, "rules": [], "findings": []},
            "cost_lines": [],
            "cost_unknown": [],
            "prices": [],
        }
    parsed = PlanAssessment.model_validate(assessment)
    shown = parsed.model_dump(mode="json")
    cost = shown["cost"] or {"lines": [], "unknown": [], "prices": []}
    return {
        "policy": {"denied": bool(parsed.policy.denied), **shown["policy"]},
        "cost_lines": cost["lines"],
        "cost_unknown": cost["unknown"],
        "prices": cost["prices"],
    }
