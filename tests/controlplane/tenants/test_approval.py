"""Which rule a plan gives a kind of operation, and what the production label changes."""

from typing import Any

import pytest

from controlplane.tenants.approval import approval_rule
from controlplane.tenants.plans import Plan, plans

PRODUCTION = {"environment": "production"}


def plan(**changes: Any) -> Plan:
    return plans()["starter"].model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "kind", "labels", "rule"),
    [
        ({}, "update", {}, "stateful"),
        ({}, "update", PRODUCTION, "stateful"),
        ({"approval_production": True}, "update", {"environment": "staging"}, "stateful"),
        ({"approval_production": True}, "update", PRODUCTION, "always"),
        ({"approval": "always", "approval_by_kind": {"refresh": "never"}}, "refresh", {}, "never"),
        ({"approval": "always", "approval_by_kind": {"refresh": "never"}}, "update", {}, "always"),
        (
            {"approval_by_kind": {"update": "never"}, "approval_production": True},
            "update",
            PRODUCTION,
            "always",
        ),
    ],
)
def test_the_rule_of_a_plan(changes: dict[str, Any], kind: str, labels: dict[str, str], rule: str) -> None:
    assert approval_rule(plan=plan(**changes), kind=kind, labels=labels) == rule
