"""Where tenants can live: every target that there is, with its regions; the first is the usual one.

Which of them an installation offers is FREEHOLD_TARGETS.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Target:
    name: str
    description: str
    regions: tuple[str, ...]


TARGETS: Final[dict[str, Target]] = {
    "local": Target(
        "This machine", "Postgres, Redis, vector store and runtime as processes of their own.", ("local",)
    ),
}


def region_default(target: str) -> str:
    """The usual region of a target; empty for one without regions."""
    return TARGETS[target].regions[0] if target in TARGETS else ""
