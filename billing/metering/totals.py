"""What the selectors measured and rating prices: a quantity with the dimensions it was used in. Pure data."""

import json
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class MeterTotal:
    """`dimensions` are sorted (name, value) pairs, so that equal ones compare equal."""

    meter: str
    dimensions: tuple[tuple[str, str], ...]
    value: Decimal

    def dimension(self, name: str) -> str:
        return dict(self.dimensions).get(name, "")


def dimension_pairs(dimensions: str) -> tuple[tuple[str, str], ...]:
    """As a total has them, from JSON."""
    return tuple(sorted((name, str(text)) for name, text in json.loads(dimensions).items()))
