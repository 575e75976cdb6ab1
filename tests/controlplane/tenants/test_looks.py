"""What looks mean, as tables: /ready's answer, our own looks beside the runtime's, a tenant's health, the words."""

import pytest

from controlplane.tenants.looks import Look, explanation, health_of, looks_combine, ready_looks

H, D, U, X = "healthy", "degraded", "unhealthy", "unknown"


def test_the_runtimes_answer_is_a_look_at_it_and_at_what_it_uses() -> None:
    body = {
        "checks": {
            "database": {"ok": False, "detail": "PoolTimeout", "duration_ms": 2000},
            "model": {"ok": True, "detail": "offline-rules-1", "duration_ms": 3},
            "something new": {"ok": False},
        }
    }
    runtime, *said = ready_looks(503, body, latency_ms=7)
    assert (runtime.health, runtime.latency_ms) == (U, 7)
    assert runtime.detail == "not ready (503) because of Postgres"
    assert [(look.component, look.health) for look in said] == [("postgres", U), ("model", H)]
    assert ready_looks(200, ["odd"], latency_ms=1) == [Look("runtime", H, "ready", 1)]


@pytest.mark.parametrize(
    ("ours", "theirs", "health"),
    [(H, H, H), (H, U, D), (U, H, U), (X, U, U), (X, H, H), (None, U, U), (U, U, U), (D, U, D)],
)
def test_our_look_beside_the_runtimes(ours: str | None, theirs: str, health: str) -> None:
    own = [Look("redis", ours)] if ours else []
    (look,) = looks_combine(own, [Look("redis", theirs, "ConnectionError")])
    assert look.health == health


@pytest.mark.parametrize(
    ("shown", "health"),
    [
        ({"runtime": H, "postgres": H, "redis": H, "model": H}, H),
        ({"runtime": H, "postgres": H, "redis": U}, D),
        ({"runtime": H, "model": U}, D),
        ({"runtime": H, "gpu": U}, D),
        ({"runtime": H, "postgres": D}, D),
        ({"runtime": H, "postgres": U}, U),
        ({"runtime": H, "vector_store": U}, U),
        ({"runtime": U, "postgres": H}, U),
        ({"runtime": H, "postgres": X, "model": X}, H),
        ({"runtime": X, "postgres": H}, X),
        ({"runtime": X, "redis": U}, D),
        ({}, X),
    ],
)
def test_a_tenants_health_from_its_components(shown: dict[str, str], health: str) -> None:
    assert health_of(shown) == health


def test_the_words_name_the_cause_before_what_rests_on_it() -> None:
    rows = [
        ("runtime", U, "not ready (503) because of Postgres"),
        ("redis", H, ""),
        ("postgres", U, "nothing listens on its port"),
        ("model", X, ""),
    ]
    assert explanation(rows) == (
        "Postgres is unhealthy (nothing listens on its port); "
        "the runtime is unhealthy (not ready (503) because of Postgres)."
    )
    assert explanation(rows[1:2]) == "Every component answers."
    assert explanation(rows[3:]) == "Nobody could look at the model; that is no failure."
    assert explanation([]).startswith("Nothing was looked at yet")
