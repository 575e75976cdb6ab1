"""Health as a table: what a row of looks shows, and how long a tenant was up."""

from datetime import timedelta

import pytest

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.debounce import Change, Health, health_next, uptime
from controlplane.tenants.health import Probe, probe_read
from controlplane.tenants.models import HealthChange, Tenant
from controlplane.tenants.selectors import tenant_health
from controlplane.tenants.services import health_changes_prune, tenant_health_look

H, D, U, X = "healthy", "degraded", "unhealthy", "unknown"
NOW = clock.now()


@pytest.mark.parametrize(
    ("start", "looks", "shown"),
    [
        (H, [U], [H]),
        (H, [U, U, U], [H, H, U]),
        (H, [U, H, U, U, U], [H, H, H, H, U]),
        (H, [D, U, D], [H, H, D]),
        (U, [H, H], [U, H]),
        (U, [H, U, H, H], [U, U, U, H]),
        (X, [H], [H]),
        (X, [U], [U]),
        ("progressing", [D], [D]),
        (D, [U, U, U], [D, D, U]),
    ],
)
def test_looks_in_a_row(start: str, looks: list[str], shown: list[str]) -> None:
    health, seen = Health(start, start, 5), []
    for look in looks:
        health = health_next(health, probe=look)
        seen.append(health.shown)
    assert seen == shown


def test_uptime_counts_known_time_only() -> None:
    def at(hours: int, health: str) -> Change:
        return Change(NOW + timedelta(hours=hours), health)

    day = {"start": NOW, "end": NOW + timedelta(hours=24)}
    assert uptime([], **day) is None
    assert uptime([at(0, X)], **day) is None
    assert uptime([at(0, H)], **day) == 1
    assert uptime([at(-100, H), at(6, U), at(12, H)], **day) == 0.75
    assert uptime([at(0, X), at(12, H), at(18, U)], **day) == 0.5
    assert uptime([at(0, D)], **day) == 1


@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (200, {"checks": {"database": {"ok": True}}}, H),
        (200, {"checks": {"database": {"ok": True}, "redis": {"ok": False}}}, D),
        (503, {"checks": {"database": {"ok": False}}}, U),
        (200, [], H),
    ],
)
def test_what_an_answer_means(status: int, body: object, health: str) -> None:
    assert probe_read(status, body).health == health


def test_looks_are_kept_as_changes_and_pruned_after_90_days(acme: tuple[Tenant, Operation]) -> None:
    tenant, _ = acme
    assert not tenant_health_look(tenant=tenant, probe=Probe(H, "", []), now=NOW), (
        "only active tenants are looked at"
    )
    Tenant.objects.update(lifecycle="active", health=H, health_seen=H)
    changed = [
        tenant_health_look(
            tenant=tenant, probe=Probe(U, "no answer", []), now=NOW + timedelta(seconds=30 * n)
        )
        for n in range(4)
    ]
    assert changed == [False, False, True, False]
    tenant.refresh_from_db()
    shown = tenant_health(tenant=tenant, now=NOW + timedelta(minutes=5))
    assert (shown["health"], shown["history"][0]["detail"], shown["uptime_30d"]) == (
        U,
        "no answer",
        "0.00000",
    )

    for days in (200, 150, 100, 10):
        HealthChange.objects.create(tenant=tenant, at=NOW - timedelta(days=days), health=H)
    assert health_changes_prune(now=NOW) == 2
    kept = [(NOW - row.at).days for row in HealthChange.objects.all() if row.at < NOW]
    assert kept == [100, 10], "the last change before the window says what held when it began"
