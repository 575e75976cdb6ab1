"""What billing is told of a stack's cost: by what was applied, with the part that GPUs are."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.costs.services import costs_post
from billing.costs.stacks import stack_costs
from billing.ledger.selectors import balances
from controlplane.config.celery import app
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant

Acme = tuple[Tenant, Operation]
NOW = clock.now()


def line(sku: str, monthly: str) -> dict[str, str]:
    about = {"urn": "u", "name": "n", "type": "t", "quantity": "1", "unit": "hour", "unit_price": "1"}
    return {**about, "sku": sku, "monthly": monthly}


def assessment(*lines: dict[str, str], unknown: int = 0) -> dict[str, Any]:
    total = sum((Decimal(each["monthly"]) for each in lines), start=Decimal(0))
    about = {"urn": "u", "name": "n", "type": "t", "why": "w"}
    cost = {
        "currency": "USD",
        "monthly_before": "0.00",
        "monthly_after": str(total),
        "lines": list(lines),
        "unknown": [about] * unknown,
        "prices": [],
    }
    return {"policy": {"rules": [], "findings": []}, "cost": cost}


def ended(
    tenant: Tenant, kind: str, days_ago: float, plan: dict[str, Any] | None, state: str = "succeeded"
) -> None:
    at = NOW - timedelta(days=days_ago)
    Operation.objects.create(
        tenant=tenant,
        kind=kind,
        state=state,
        requested_by="test",
        spec={},
        assessment=plan,
        created_at=at,
        queued_at=at,
        finished_at=at,
    )


def told(tenant: Tenant) -> list[tuple[str, str, int]]:
    return [
        (str(each.monthly), str(each.gpu), each.unknown)
        for each in stack_costs().costs(tenant_id=tenant.id, until=NOW)
    ]


def test_only_what_was_applied_counts_in_the_order_of_time(acme: Acme) -> None:
    tenant, _ = acme
    ended(tenant, "update", 4, assessment(line("local:memory", "20.00")))
    ended(tenant, "provision", 9, assessment(line("local:memory", "10.00"), unknown=2))
    ended(tenant, "preview", 3, assessment(line("local:memory", "99.00")))
    ended(tenant, "update", 3, assessment(line("local:memory", "98.00")), state="failed")
    ended(tenant, "snapshot", 2, {"policy": {"rules": [], "findings": []}, "cost": None})
    ended(tenant, "deprovision", 1, None)
    assert told(tenant) == [("10.00", "0", 2), ("20.00", "0", 0), ("0", "0", 0)]


@pytest.mark.parametrize(
    ("sku", "pays_for_gpu"),
    [
        ("local:gpu", True),
        ("kubernetes:gpu", True),
        ("aws:ec2:g6.xlarge:on_demand", True),
        ("aws:ec2:m7g.large:on_demand", False),
        ("local:memory", False),
    ],
)
def test_which_lines_pay_for_gpus(acme: Acme, sku: str, pays_for_gpu: bool) -> None:
    ended(acme[0], "provision", 9, assessment(line(sku, "320.00"), line("local:memory", "7.00")))
    assert told(acme[0]) == [("327.00", "320.00" if pays_for_gpu else "0", 0)]


def test_the_clock_posts_the_days_of_a_real_tenant(acme: Acme) -> None:
    tenant, _ = acme
    Tenant.objects.filter(pk=tenant.pk).update(created_at=NOW - timedelta(days=3))
    ended(tenant, "provision", 3, assessment(line("local:memory", "730.00")))
    costs_post(now=NOW)
    midnight = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    days = Decimal((midnight - (NOW - timedelta(days=3))).total_seconds()) / 86400
    held = balances(tenant_id=tenant.id)["USD", "cost_infrastructure_estimated"]
    assert abs(held - 24 * days) < Decimal("0.001")


def test_every_task_by_the_clock_exists() -> None:
    app.loader.import_default_modules()
    missing = [name for name, row in app.conf.beat_schedule.items() if row["task"] not in app.tasks]
    assert missing == []
    assert {"billing-accrual", "billing-credits", "billing-costs"} <= set(app.conf.beat_schedule)
