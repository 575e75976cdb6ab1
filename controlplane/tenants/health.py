"""Looking at a tenant's runtime from outside, and what the answers mean."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from controlplane.tenants import states

TIMEOUT_S = 3.0


@dataclass(frozen=True)
class Probe:
    """`checks` is [{name, ok, detail}] as the runtime's /ready gives them."""

    health: str
    detail: str
    checks: list[dict[str, Any]]


def probe_read(status: int, body: Any) -> Probe:
    """What /ready's answer means. Not ready is unhealthy; ready with a failed check is degraded."""
    raw = body.get("checks", []) if isinstance(body, dict) else []
    if isinstance(raw, dict):
        raw = [
            {"name": name, **(value if isinstance(value, dict) else {"ok": bool(value)})}
            for name, value in raw.items()
        ]
    checks = [
        {
            "name": str(check.get("name", "")),
            "ok": check.get("ok") is True or check.get("status") in ("ok", "healthy", "pass"),
            "detail": str(check.get("detail") or ""),
        }
        for check in raw
        if isinstance(check, dict)
    ]
    bad = ", ".join(str(check["name"]) for check in checks if not check["ok"])
    if status != 200:
        return Probe(states.UNHEALTHY, f"not ready ({status}){': ' + bad if bad else ''}", checks)
    return Probe(states.DEGRADED if bad else states.HEALTHY, bad or "every check passes", checks)


def runtime_probe(url: str, *, timeout_s: float = TIMEOUT_S) -> Probe:
    """One look at a runtime. No answer is `unhealthy` with the reason; it never raises."""
    try:
        response = httpx.get(f"{url.rstrip('/')}/ready", timeout=timeout_s, follow_redirects=False)
        return probe_read(response.status_code, response.json())
    except (httpx.HTTPError, ValueError) as error:
        return Probe(states.UNHEALTHY, f"no answer ({type(error).__name__})", [])


def runtime_probe_until(url: str, *, deadline_s: float, alive: Callable[[], None]) -> Probe:
    """Looks again until the runtime is ready or the deadline passes; the last answer. `alive` is called between."""
    end = time.monotonic() + deadline_s
    while True:
        probe = runtime_probe(url)
        if probe.health in (states.HEALTHY, states.DEGRADED) or time.monotonic() >= end:
            return probe
        alive()
        time.sleep(0.25)
