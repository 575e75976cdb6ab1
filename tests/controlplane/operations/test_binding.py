"""What an approval binds to, as a table: each part moved on its own is noticed by name."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from contracts.engine import PlanFacts
from contracts.runtime import RuntimeConfig
from contracts.stack import StackSpec
from controlplane.core import clock
from controlplane.operations.binding import PlanBinding, approval_reason, binding_make, binding_moved

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
    given: dict[str, Any] = {"facts": FACTS, "spec": SPEC, "state_version": 1, "plan": [CREATE], **changes}
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
        ({"plan": [{**CREATE, "op": "replace"}]}, "the planned changes"),
        ({"plan": [{**CREATE, "diffs": [{"path": "port", "kind": "update"}]}]}, "the planned changes"),
    ],
)
def test_each_part_that_moved_is_named(change: dict[str, Any], named: str) -> None:
    assert binding_moved(make(), make(**change)) == [named]


REPLACE = {**CREATE, "op": "replace"}
UPDATE = {**CREATE, "op": "update"}


@pytest.mark.parametrize(
    ("kind", "rule", "requested", "plan", "needed"),
    [
        ("provision", "never", False, [CREATE], False),
        ("provision", "always", False, [CREATE], False),
        ("provision", "never", True, [CREATE], True),
        ("update", "never", False, [REPLACE], False),
        ("update", "stateful", False, [UPDATE], False),
        ("update", "stateful", False, [REPLACE], True),
        ("update", "stateful", False, [{**CREATE, "op": "delete"}], True),
        ("update", "stateful", False, [{**REPLACE, "type": "local:index:RuntimeProcess"}], False),
        ("update", "always", False, [UPDATE], True),
        ("deprovision", "stateful", False, [{**CREATE, "op": "delete"}], False),
        ("deprovision", "always", False, [{**CREATE, "op": "delete"}], True),
    ],
)
def test_when_a_person_must_approve(
    kind: str, rule: str, requested: bool, plan: list[Any], needed: bool
) -> None:
    assert (approval_reason(kind=kind, rule=rule, requested=requested, plan=plan) is not None) == needed
