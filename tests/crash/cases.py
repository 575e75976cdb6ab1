"""Where each life is cut: for every operation of it a crash point and the part that is killed there."""

#: Operations of a life, in their order.
KINDS = ("provision", "update", "suspend", "resume", "deprovision")

#: (point, victim) per kind, one a life.
CUTS: dict[str, list[tuple[str, str]]] = {
    "provision": [
        ("executor.claimed", "worker"),
        ("executor.planned", "worker"),
        ("executor.applying", "worker"),
        ("executor.runner-ended", "worker"),
        ("executor.recorded", "worker"),
        ("executor.verified", "worker"),
        ("provider.create.postgres.done", "cli"),
        ("provider.create.vector_store.done", "provider"),
        ("provider.create.runtime.begin", "postgres"),
        ("runner.planned", "runner"),
        ("provider.create.cache.done", "worker"),
        ("runner.applied", "runner"),
    ],
    "update": [
        ("provider.update.cache.begin", "cli"),
        ("provider.update.cache.done", "cli"),
        ("provider.update.cache.done", "provider"),
        ("executor.recorded", "postgres"),
        ("runner.applying", "runner"),
        ("runner.selected", "worker"),
        ("executor.runner-ended", "worker"),
        ("provider.update.cache.begin", "worker"),
        ("executor.planned", "postgres"),
        ("executor.verified", "worker"),
        ("provider.update.cache.done", "postgres"),
        ("runner.applied", "runner"),
    ],
    "suspend": [
        ("executor.claimed", "worker"),
        ("provider.update.runtime.begin", "cli"),
        ("provider.update.runtime.done", "worker"),
        ("runner.planned", "runner"),
        ("provider.update.runtime.done", "provider"),
        ("executor.recorded", "worker"),
        ("provider.update.runtime.done", "cli"),
        ("executor.applying", "worker"),
        ("runner.applied", "worker"),
        ("provider.update.runtime.begin", "postgres"),
        ("executor.verified", "worker"),
        ("executor.runner-ended", "worker"),
    ],
    "resume": [
        ("provider.update.runtime.begin", "worker"),
        ("runner.selected", "runner"),
        ("provider.update.runtime.done", "cli"),
        ("provider.update.runtime.begin", "provider"),
        ("executor.verified", "worker"),
        ("provider.update.runtime.begin", "cli"),
        ("executor.planned", "worker"),
        ("provider.update.runtime.done", "worker"),
        ("executor.recorded", "postgres"),
        ("runner.applying", "worker"),
        ("provider.update.runtime.done", "provider"),
        ("executor.claimed", "worker"),
    ],
    "deprovision": [
        ("runner.applying", "runner"),
        ("provider.delete.runtime.begin", "cli"),
        ("provider.delete.postgres.done", "cli"),
        ("provider.delete.directory.begin", "worker"),
        ("executor.runner-ended", "worker"),
        ("executor.recorded", "worker"),
        ("provider.delete.cache.done", "provider"),
        ("provider.delete.vector_store.begin", "postgres"),
        ("runner.applied", "runner"),
        ("executor.claimed", "worker"),
        ("executor.verified", "worker"),
        ("provider.delete.directory.done", "worker"),
    ],
}


def lives() -> list[dict[str, tuple[str, str]]]:
    """One life for each column of CUTS: kind -> (point, victim)."""
    return [dict(zip(KINDS, cuts, strict=True)) for cuts in zip(*(CUTS[kind] for kind in KINDS), strict=True)]
