"""What single looks at a tenant's components mean, and what they add up to. Pure: probing.py does the looking.

`unknown` means that nobody could look. It is never a failure, and it never makes a tenant worse.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from controlplane.tenants import states

RUNTIME: Final = "runtime"
POSTGRES: Final = "postgres"
REDIS: Final = "redis"
VECTOR_STORE: Final = "vector_store"
MODEL: Final = "model"
GPU: Final = "gpu"
#: In the order in which they are told: what others rest on comes first.
COMPONENTS: Final = (POSTGRES, VECTOR_STORE, REDIS, MODEL, GPU, RUNTIME)
#: Without these a runtime serves nothing; without the others it serves less.
NEEDED: Final = frozenset({POSTGRES, VECTOR_STORE, RUNTIME})
STORES: Final = (POSTGRES, VECTOR_STORE, REDIS)
BAD: Final = (states.DEGRADED, states.UNHEALTHY)

#: What the runtime's /ready calls them -> ours.
_RUNTIME_NAMES: Final = {
    "database": POSTGRES,
    "vector_store": VECTOR_STORE,
    "redis": REDIS,
    "model": MODEL,
}
_TITLES: Final = {
    POSTGRES: "Postgres",
    VECTOR_STORE: "the vector store",
    REDIS: "Redis",
    MODEL: "the model",
    GPU: "the GPU",
    RUNTIME: "the runtime",
}


@dataclass(frozen=True)
class Look:
    """One look at one component. `detail` is for people and holds no secret; `latency_ms` None: no answer."""

    component: str
    health: str
    detail: str = ""
    latency_ms: int | None = None


def ready_looks(status: int, body: Any, *, latency_ms: int) -> list[Look]:
    """The runtime's own look and what it says of the parts it uses, from an answer of /ready."""
    checks = body.get("checks", {}) if isinstance(body, dict) else {}
    said = [
        Look(
            _RUNTIME_NAMES[name],
            states.HEALTHY if check.get("ok") is True else states.UNHEALTHY,
            str(check.get("detail") or "")[:200],
            _milliseconds(check.get("duration_ms")),
        )
        for name, check in (checks.items() if isinstance(checks, dict) else ())
        if name in _RUNTIME_NAMES and isinstance(check, dict)
    ]
    if status == 200:
        return [Look(RUNTIME, states.HEALTHY, "ready", latency_ms), *said]
    blamed = ", ".join(_TITLES[look.component] for look in said if look.health != states.HEALTHY)
    detail = f"not ready ({status})" + (f" because of {blamed}" if blamed else "")
    return [Look(RUNTIME, states.UNHEALTHY, detail, latency_ms), *said]


def looks_combine(ours: Iterable[Look], said: Iterable[Look]) -> list[Look]:
    """Our own looks beside what the runtime says: a part that answers us and not the runtime is degraded; of a part
    that we cannot reach ourselves, such as the model, the runtime's word counts."""
    combined = {look.component: look for look in ours}
    for theirs in said:
        own = combined.get(theirs.component)
        if own is None or own.health == states.UNKNOWN:
            combined[theirs.component] = theirs
        elif own.health == states.HEALTHY and theirs.health in BAD:
            detail = f"answers the control plane, but the runtime says {theirs.detail or 'it fails'}"
            combined[theirs.component] = replace(own, health=states.DEGRADED, detail=detail)
    return sorted(combined.values(), key=lambda look: COMPONENTS.index(look.component))


def health_of(shown: Mapping[str, str]) -> str:
    """The tenant's health from its components' (component -> health)."""
    if any(health == states.UNHEALTHY and component in NEEDED for component, health in shown.items()):
        return states.UNHEALTHY
    if any(health in BAD for health in shown.values()):
        return states.DEGRADED
    # What serves is the runtime: without a look at it, nothing can be said for the tenant.
    return states.HEALTHY if shown.get(RUNTIME) == states.HEALTHY else states.UNKNOWN


def explanation(shown: Sequence[tuple[str, str, str]]) -> str:
    """In words, which component made the tenant what it is; `shown` is (component, health, detail)."""
    ordered = sorted(shown, key=lambda row: COMPONENTS.index(row[0]) if row[0] in COMPONENTS else 99)
    bad = [_sentence(*row) for row in ordered if row[1] in BAD]
    if bad:
        text = "; ".join(bad)
        return f"{text[0].upper()}{text[1:]}."
    unknown = [_TITLES.get(row[0], row[0]) for row in ordered if row[1] == states.UNKNOWN]
    if unknown:
        return f"Nobody could look at {', '.join(unknown)}; that is no failure."
    return "Every component answers." if ordered else "Nothing was looked at yet; that is no failure."


def _sentence(component: str, health: str, detail: str) -> str:
    return f"{_TITLES.get(component, component)} is {health}" + (f" ({detail})" if detail else "")


def _milliseconds(raw: Any) -> int | None:
    return int(raw) if isinstance(raw, int | float) and raw >= 0 else None
