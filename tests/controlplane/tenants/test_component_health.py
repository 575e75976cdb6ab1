"""What is kept of looks: debounced for each component, the tenant follows, unknown is never a failure."""

from datetime import timedelta

import pytest

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.component_health import (
    health_changes_prune,
    health_unwatched_settle,
    looks_note,
    looks_settle,
)
from controlplane.tenants.looks import Look
from controlplane.tenants.models import ComponentHealth, HealthChange, Tenant
from controlplane.tenants.selectors import tenant_health
from tests.support.people import Person

H, D, U, X = "healthy", "degraded", "unhealthy", "unknown"
NOW = clock.now()
WELL = {"postgres": H, "redis": H, "model": H, "runtime": H}


@pytest.fixture
def tenant(acme: tuple[Tenant, Operation]) -> Tenant:
    """Active and well since an hour."""
    Tenant.objects.update(lifecycle="active")
    looks_settle(tenant_id=acme[0].pk, looks=looks(WELL), now=NOW - timedelta(hours=1))
    return Tenant.objects.get()


def looks(healths: dict[str, str]) -> list[Look]:
    return [Look(name, health, f"{name} {health}", 3) for name, health in healths.items()]


def sweep(tenant: Tenant, *rounds: dict[str, str], start: int = 0) -> list[str]:
    """The tenant's health after each of the sweeps, 30 s apart."""
    shown = []
    for number, healths in enumerate(rounds, start=start):
        now = NOW + timedelta(seconds=30 * number)
        looks_note(tenant_id=tenant.pk, looks=looks({**WELL, **healths}), now=now)
        shown.append(Tenant.objects.get(pk=tenant.pk).health)
    return shown


def component(name: str) -> ComponentHealth:
    return ComponentHealth.objects.get(component=name)


def test_three_bad_looks_in_a_row_flip_a_component_and_its_tenant(tenant: Tenant) -> None:
    assert sweep(tenant, {"redis": U}, {"redis": U}, {}, {"redis": U}, {"redis": U}, {"redis": U}) == [
        *[H] * 5,
        D,
    ]
    assert component("redis").health == U
    assert component("redis").since == NOW + timedelta(seconds=150)
    assert sweep(tenant, {}, {}, start=6) == [D, H]


def test_bad_looks_at_different_components_do_not_add_up(tenant: Tenant) -> None:
    assert sweep(tenant, {"redis": U}, {"postgres": U}, {"model": U}, {"redis": U}) == [H] * 4


def test_unknown_is_never_failure(tenant: Tenant) -> None:
    cut_off = {"redis": X, "postgres": X, "model": X}
    assert sweep(tenant, cut_off, cut_off, cut_off, cut_off) == [H] * 4
    assert component("redis").health == X
    # Nor does it help two bad looks to become three.
    assert sweep(tenant, {}, {"redis": U}, {"redis": U}, {"redis": X}, {"redis": U}, start=4) == [H] * 5
    share = tenant_health(tenant=tenant, now=NOW + timedelta(hours=1))["components"][1]
    assert (share["name"], share["uptime_30d"]) == ("redis", "1.00000")


def test_a_component_that_was_unknown_needs_three_bad_looks_too(tenant: Tenant) -> None:
    gone = {"postgres": X}
    assert sweep(tenant, gone, gone, gone, {"postgres": U}, {"postgres": U}, {"postgres": U}) == [*[H] * 5, U]


def test_the_answer_names_the_component_in_words(owner: Person, tenant: Tenant) -> None:
    sweep(tenant, *[{"postgres": U, "runtime": U}] * 3)
    body = owner.api().get("/tenants/acme/health").json()
    assert body["health"] == U
    assert body["explanation"] == (
        "Postgres is unhealthy (postgres unhealthy); the runtime is unhealthy (runtime unhealthy)."
    )
    first = body["components"][0]
    assert set(first) >= {"name", "health", "since", "checked_at", "latency_ms", "detail", "uptime_90d"}
    assert (first["name"], first["latency_ms"]) == ("postgres", 3)
    newest = body["history"][0]
    assert (newest["component"], newest["health"], newest["detail"]) == (None, U, body["explanation"])
    assert {row["component"] for row in body["history"]} == {None, "postgres", "redis", "model", "runtime"}


def test_two_sweeps_at_once_count_once(tenant: Tenant) -> None:
    for second in range(3):
        looks_note(
            tenant_id=tenant.pk, looks=looks({**WELL, "redis": U}), now=NOW + timedelta(seconds=second)
        )
    assert (component("redis").health, component("redis").streak) == (H, 1)


def test_what_an_operation_is_changing_is_not_called_bad(
    tenant: Tenant, acme: tuple[Tenant, Operation]
) -> None:
    Operation.objects.filter(pk=acme[1].pk).update(state="applying")
    assert sweep(tenant, *[{"postgres": U}] * 4) == [H] * 4
    assert component("postgres").health == X
    assert component("postgres").detail.startswith("being changed by an operation")


@pytest.mark.parametrize("lifecycle", ["suspended", "failed", "deprovisioning", "deprovisioned"])
def test_of_a_tenant_that_nobody_looks_at_nothing_is_known(tenant: Tenant, lifecycle: str) -> None:
    sweep(tenant, *[{"postgres": U}] * 3)
    Tenant.objects.update(lifecycle=lifecycle)
    at = NOW + timedelta(minutes=10)
    assert health_unwatched_settle(now=at) == 1
    assert health_unwatched_settle(now=at) == 0
    assert not looks_note(tenant_id=tenant.pk, looks=looks({"postgres": U}), now=at)
    body = tenant_health(tenant=Tenant.objects.get(), now=NOW + timedelta(days=5))
    assert body["health"] == X
    assert {row["health"] for row in body["components"]} == {X}
    # Down for nine minutes of the hour and ten that are known; the five days since do not count.
    assert body["uptime_30d"] == f"{61 / 70:.5f}"


def test_a_component_that_the_stack_lost_is_forgotten(tenant: Tenant) -> None:
    looks_settle(tenant_id=tenant.pk, looks=looks({**WELL, "gpu": H}), now=NOW)
    assert component("gpu").health == H
    sweep(tenant, {}, start=1)
    assert not ComponentHealth.objects.filter(component="gpu").exists()


def test_an_operation_that_ended_well_is_believed_at_once(tenant: Tenant) -> None:
    sweep(tenant, *[{"postgres": U}] * 3)
    looks_settle(tenant_id=tenant.pk, looks=looks(WELL), now=NOW + timedelta(minutes=5))
    assert Tenant.objects.get().health == H


def test_changes_are_pruned_after_90_days_for_each_component(tenant: Tenant) -> None:
    HealthChange.objects.all().delete()
    for name in ("", "redis"):
        for days in (200, 150, 100, 10):
            at = NOW - timedelta(days=days)
            HealthChange.objects.create(tenant=tenant, component=name, at=at, health=H)
    assert health_changes_prune(now=NOW) == 4
    for name in ("", "redis"):
        kept = [(NOW - row.at).days for row in HealthChange.objects.filter(component=name)]
        assert kept == [100, 10], "the last change before the window says what held when it began"
