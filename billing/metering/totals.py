"""What the selectors measured and rating prices: a quantity with the dimensions it was used in. Pure data."""

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
