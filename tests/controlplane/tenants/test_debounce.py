"""Health as a table: what a row of looks shows, and how long a tenant was up."""

from datetime import timedelta

import pytest

from controlplane.core import clock
from controlplane.tenants.debounce import Change, Health, health_next, uptime
from controlplane.tenants.health import probe_read

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
        (X, [U, U, U], [X, X, U]),
        (X, [U, H], [X, H]),
        (H, [U, U, X, U], [H, H, H, H]),
        (H, [X, X, X, U, U, U], [H, H, X, X, X, U]),
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
