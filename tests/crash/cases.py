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

#: Column of CUTS -> (point, victim): lives that rotate credentials too, after their update.
ROTATIONS: dict[int, tuple[str, str]] = {
    # New logins are there, and nobody uses them yet.
    0: ("provider.update.postgres.done", "cli"),
    # The runtime has changed hands, and the old logins are still good.
    4: ("provider.update.runtime.done", "worker"),
    # The old logins have ended, and no state says so.
    7: ("provider.update.retirement.done", "provider"),
    # All is recorded, but for the end of the old usage token.
    10: ("executor.recorded", "worker"),
}


def lives() -> list[dict[str, tuple[str, str]]]:
    """One life for each column of CUTS: kind -> (point, victim), in the order of the operations."""
    columns = zip(*(CUTS[kind] for kind in KINDS), strict=True)
    return [_life(dict(zip(KINDS, cuts, strict=True)), ROTATIONS.get(n)) for n, cuts in enumerate(columns)]


def _life(cuts: dict[str, tuple[str, str]], rotation: tuple[str, str] | None) -> dict[str, tuple[str, str]]:
    if rotation is None:
        return cuts
    after = KINDS.index("update") + 1
    items = list(cuts.items())
    return dict([*items[:after], ("rotate_credentials", rotation), *items[after:]])
