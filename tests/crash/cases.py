"""Where each life is cut: for every operation of it a crash point and the part that is killed there."""

import os
from typing import Final

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
        ("final.settled", "worker"),
        ("provider.delete.runtime.begin", "cli"),
        ("provider.delete.postgres.done", "cli"),
        ("provider.delete.directory.begin", "worker"),
        ("final.drilled", "runner"),
        ("executor.recorded", "worker"),
        ("provider.delete.cache.done", "provider"),
        ("provider.delete.vector_store.begin", "postgres"),
        ("runner.applied", "runner"),
        ("runner.applying", "runner"),
        ("executor.verified", "worker"),
        ("provider.delete.directory.done", "worker"),
    ],
}

#: What some lives go through beside: kind -> (after which kind, column of CUTS -> (point, victim)).
BESIDE: dict[str, tuple[str, dict[int, tuple[str, str]]]] = {
    "rotate_credentials": (
        "update",
        {
            # New logins are there, and nobody uses them yet.
            0: ("provider.update.postgres.done", "cli"),
            # The runtime has changed hands, and the old logins are still good.
            4: ("provider.update.runtime.done", "worker"),
            # The old logins have ended, and no state says so.
            7: ("provider.update.retirement.done", "provider"),
            # All is recorded, but for the end of the old usage token.
            10: ("executor.recorded", "worker"),
        },
    ),
    "snapshot": (
        "resume",
        {
            0: ("snapshot.cache-read", "runner"),
            # Everything is on disk, but under its final name.
            2: ("snapshot.written", "worker"),
            # It has its name, and nobody was told.
            4: ("snapshot.named", "runner"),
            6: ("snapshot.written", "postgres"),
            8: ("executor.runner-ended", "worker"),
        },
    ),
    "restore": (
        "snapshot",
        {
            # Loaded beside the old data; the runtime stands still.
            0: ("restore.loaded", "runner"),
            # The new data counts, and is in its place in no store.
            2: ("restore.committed", "worker"),
            # It is in its place, and the runtime stands still.
            4: ("restore.swapped", "runner"),
            6: ("restore.committed", "postgres"),
            8: ("restore.loaded", "worker"),
        },
    ),
}


#: The columns that `make test` goes through: every part is killed in every kind of operation it can be killed in but
#: three, and everything of BESIDE is there. `make test-crash` goes through all of them.
SHORT: Final = (0, 2, 3, 4, 6, 7, 8, 10)


def lives() -> list[dict[str, tuple[str, str]]]:
    """One life for each column of CUTS: kind -> (point, victim), in the order of the operations."""
    columns = enumerate(zip(*(CUTS[kind] for kind in KINDS), strict=True))
    every = os.environ.get("FREEHOLD_CRASH_LIVES") == "all"
    return [
        _life(number, dict(zip(KINDS, cuts, strict=True)))
        for number, cuts in columns
        if every or number in SHORT
    ]


def _life(number: int, cuts: dict[str, tuple[str, str]]) -> dict[str, tuple[str, str]]:
    order = list(KINDS)
    for kind, (after, columns) in BESIDE.items():
        if number in columns:
            order.insert(order.index(after) + 1, kind)
            cuts[kind] = columns[number]
    return {kind: cuts[kind] for kind in order}
