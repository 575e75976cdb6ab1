"""Policy and cost at work: the real engine's plan is judged before anything is changed."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.approvals import operation_approve
from controlplane.operations.models import Operation
from controlplane.operations.selectors import operation_representation, plan_representation
from controlplane.operations.services import operation_retry
from controlplane.tenants.models import Tenant
from controlplane.tenants.services import tenant_create, tenant_update
from embedded.processes import processes_marked
from tests.support.house import House

pytestmark = [pytest.mark.engine, pytest.mark.django_db(transaction=True), pytest.mark.timeout(600)]

NO_REDIS = '''
from stacks.policy.model import Violation, rule

@rule("no-redis", "deny")
def no_redis(plan):
    """Our tenants have no Redis."""
    for resource in plan.wanted("local:index:RedisServer"):
        yield Violation(resource, f"port {resource.after['port']} is a Redis")
'''


def cost_of(operation: Operation) -> tuple[Decimal, Decimal]:
    cost = operation_representation(operation, slug="acme")["cost"]
    assert (cost["currency"], cost["unknown"]) == ("USD", 0)
    return Decimal(cost["monthly_before"]), Decimal(cost["monthly_after"])


def enlarge(house: House, tenant: Tenant) -> Operation:
    """Asks for one GB more of memory for the cache."""
    _, operation = tenant_update(
        principal=house.owner.principal,
        tenant=tenant,
        changes={"overrides": {"cache": {"max_memory_mb": 64 + 1024}}},
        now=clock.now(),
    )
    assert operation is not None
    return operation


def test_a_life_is_priced_from_the_engines_own_plan(house: House) -> None:
    tenant = house.tenant()
    provision = Operation.objects.get(kind="provision")
    before, after = cost_of(provision)
    assert before == 0
    assert after > 0
    plan = plan_representation(provision)
    assert plan["policy"]["denied"] is False
    assert "gpus-within-plan" in plan["policy"]["rules"]
    assert {line["type"] for line in plan["cost_lines"]} == {
        "local:index:PostgresServer",
        "local:index:RedisServer",
        "local:index:RuntimeProcess",
        "local:index:GpuAllocation",
    }
    assert sum(Decimal(line["monthly"]) for line in plan["cost_lines"]) == after
    assert [price["name"] for price in plan["prices"]] == ["own-hardware"]
    enlarge(house, tenant)
    bigger = house.run()
    assert bigger.state == states.SUCCEEDED
    assert cost_of(bigger) == (after, after + Decimal("3.50"))
    assert f"{after} -> {after + Decimal('3.50')} USD a month" in bigger.steps.get(name="plan").detail


def test_a_denied_plan_fails_and_changes_nothing(house: House, tmp_path: Path, settings: Any) -> None:
    rules = tmp_path / "ours.py"
    rules.write_text(NO_REDIS)
    settings.FREEHOLD_POLICY_FILES = [rules]
    request(house)
    operation = house.run()
    assert operation.state == states.FAILED
    assert operation.error["code"] == "policy_denied"
    assert "local:index:RedisServer cache-server: port" in operation.error["detail"]
    assert str(operation.id) in operation.error["hint"]
    assert [step.state for step in operation.steps.all()] == ["succeeded", "skipped", "skipped", "skipped"]
    assert processes_marked(str(house.home / "tenants")) == []
    assert plan_representation(operation)["policy"]["denied"] is True
    accepted = tmp_path / "accepted.toml"
    accepted.write_text(
        '[[exceptions]]\nrule = "no-redis"\ntenant = "acme"\nresource = "cache-*"\n'
        'owner = "jane@example.com"\nreason = "until the queue moves"\nexpires = 9999-01-01\n'
    )
    settings.FREEHOLD_POLICY_EXCEPTIONS = [accepted]
    operation_retry(operation=operation, actor="t", now=clock.now())
    retried = house.run()
    assert retried.state == states.SUCCEEDED
    (finding,) = plan_representation(retried)["policy"]["findings"]
    assert finding["exception"]["owner"] == "jane@example.com"


def test_a_broken_policy_file_stops_the_plan_by_name(house: House, tmp_path: Path, settings: Any) -> None:
    rules = tmp_path / "ours.py"
    rules.write_text("import nothing_like_it")
    settings.FREEHOLD_POLICY_FILES = [rules]
    request(house)
    operation = house.run()
    assert (operation.state, operation.error["code"]) == (states.FAILED, "policy_broken")
    assert str(rules) in operation.error["detail"]
    assert processes_marked(str(house.home / "tenants")) == []
    settings.FREEHOLD_POLICY_FILES = []


def test_a_rise_of_cost_above_the_plans_limit_waits_for_a_person(house: House) -> None:
    tenant = house.tenant()
    asked = enlarge(house, tenant)
    Operation.objects.filter(pk=asked.pk).update(approval_cost_increase="3.49")
    waiting = house.run()
    assert waiting.state == states.AWAITING_APPROVAL
    assert "rise by 3.50 USD" in waiting.approval_reason
    operation_approve(operation=waiting, actor="t", now=clock.now())
    assert house.run().state == states.SUCCEEDED


def request(house: House) -> None:
    tenant_create(
        principal=house.owner.principal,
        slug="acme",
        name="A",
        plan="starter",
        target="local",
        now=clock.now(),
    )
