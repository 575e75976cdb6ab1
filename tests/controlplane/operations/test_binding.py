"""What an approval binds to, as a table: each part moved on its own is noticed by name."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from contracts.engine import PlanFacts
from contracts.planned import PolicyFinding
from contracts.runtime import RuntimeConfig
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.operations.binding import PlanBinding, approval_reason, binding_make, binding_moved
from tests.support.assessments import assessment, finding, lost

SPEC = StackSpec(
    tenant_id=uuid4(),
    slug="acme",
    stack_name="acme",
    target="local",
    region="local",
    plan="starter",
    runtime=RuntimeConfig(version="1"),
)
FACTS = PlanFacts(program_hash="p", state_hash="s", cli_version="3", sdk_version="3")
CREATE = {"urn": "u1", "type": "local:index:RedisServer", "name": "cache", "op": "create", "diffs": []}
NOW = clock.now()


def make(**changes: Any) -> PlanBinding:
    given: dict[str, Any] = {
        "facts": FACTS,
        "spec": SPEC,
        "state_version": 1,
        "plan": [CREATE],
        "assessment": assessment(),
        **changes,
    }
    return binding_make(plan_id=uuid4(), computed_at=NOW, expires_at=NOW + timedelta(hours=1), **given)


def test_the_same_things_planned_again_stand() -> None:
    assert binding_moved(make(), make()) == []
    same = {**CREATE, "urn": "u0", "op": "same"}
    assert binding_moved(make(), make(plan=[same, CREATE])) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"facts": FACTS.model_copy(update={"program_hash": "x"})}, "the stack program"),
        ({"facts": FACTS.model_copy(update={"state_hash": "x"})}, "the stack's state"),
        ({"facts": FACTS.model_copy(update={"cli_version": "4"})}, "the Pulumi CLI's version"),
        ({"facts": FACTS.model_copy(update={"sdk_version": "4"})}, "the Pulumi SDK's version"),
        ({"spec": SPEC.model_copy(update={"plan": "pro"})}, "the tenant's specification"),
        ({"state_version": 2}, "the stack's state (another operation ran)"),
        ({"assessment": assessment(finding())}, "the policy's findings"),
        ({"assessment": assessment(after="11.00")}, "the cost"),
        ({"plan": [{**CREATE, "op": "replace"}]}, "the planned changes"),
        ({"plan": [{**CREATE, "diffs": [{"path": "port", "kind": "update"}]}]}, "the planned changes"),
    ],
)
def test_each_part_that_moved_is_named(change: dict[str, Any], named: str) -> None:
    assert binding_moved(make(), make(**change)) == [named]


@pytest.mark.parametrize(
    ("kind", "rule", "requested", "findings", "needed"),
    [
        ("provision", "never", False, [], False),
        ("provision", "always", False, [], False),
        ("provision", "never", True, [], True),
        ("update", "never", False, [lost("cache")], False),
        ("update", "stateful", False, [], False),
        ("update", "stateful", False, [lost("cache")], True),
        ("update", "stateful", False, [finding("tenant-tags", "warn")], False),
        ("update", "always", False, [], True),
        ("deprovision", "stateful", False, [lost("cache")], False),
        ("deprovision", "always", False, [lost("cache")], True),
    ],
)
def test_when_a_person_must_approve(
    kind: str, rule: str, requested: bool, findings: list[PolicyFinding], needed: bool
) -> None:
    reason = approval_reason(
        kind=kind, rule=rule, requested=requested, assessment=assessment(*findings), cost_limit=None
    )
    assert (reason is not None) == needed


@pytest.mark.parametrize(
    ("kind", "after", "limit", "needed"),
    [
        ("update", "110.00", "9.99", True),
        ("update", "110.00", "10", False),
        ("update", "110.00", None, False),
        ("update", "90.00", "0", False),
        ("update", "100.01", "0", True),
        ("provision", "900.00", "0", False),
        ("resume", "900.00", "0", False),
    ],
)
def test_a_cost_above_the_limit_wants_approval(
    kind: str, after: str, limit: str | None, needed: bool
) -> None:
    reason = approval_reason(
        kind=kind,
        rule="stateful",
        requested=False,
        assessment=assessment(before="100.00", after=after),
        cost_limit=Decimal(limit) if limit is not None else None,
    )
    assert (reason is not None) == needed
    if reason:
        assert f"{Decimal(after) - 100} USD" in reason


def test_the_lost_resources_are_named() -> None:
    told = assessment(lost("postgres"), lost("cache"))
    reason = approval_reason(
        kind="update", rule="stateful", requested=False, assessment=told, cost_limit=None
    )
    assert reason == "Data would be lost, by replacing or deleting cache, postgres."
