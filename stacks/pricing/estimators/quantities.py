"""What of a planned resource is paid for: SKUs and monthly quantities. Pure.

An SKU's price is per unit: `hour` for what runs, `GB-month` for what lies, `month` for what is rented.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from stacks.reading import at, is_unknown

HOURS = Decimal(730)
GB = Decimal(1024)


class CannotEstimate(Exception):
    """What is missing to say how much of it there will be."""


@dataclass(frozen=True)
class Quantity:
    sku: str
    amount: Decimal
    unit: str


@dataclass(frozen=True)
class Missing:
    """A part of a resource that has a price, but no quantity that is known beforehand."""

    why: str


Part = Quantity | Missing
Inputs = Mapping[str, Any]
#: Type and inputs of everything that exists at the same time.
Beside = Sequence[tuple[str, Inputs]]
Estimator = Callable[[Inputs, Beside], Sequence[Part]]


def alone(estimate: Callable[[Inputs], Sequence[Part]]) -> Estimator:
    """For what is priced by its own inputs."""
    return lambda inputs, _beside: estimate(inputs)


def by_use(what: str) -> Estimator:
    """For what costs nothing but its use."""
    return lambda _inputs, _beside: [Missing(f"{what} paid by use")]


def number_at(inputs: Inputs, *path: str, default: int | None = None) -> Decimal:
    value = at(inputs, *path)
    if value is None and default is not None:
        return Decimal(default)
    try:
        return Decimal(str(value))
    except ArithmeticError:
        state = "is known after the apply" if is_unknown(value) else "is missing"
        raise CannotEstimate(f"`{'.'.join(path)}` {state}") from None


def text_at(inputs: Inputs, *path: str, default: str | None = None) -> str:
    value = at(inputs, *path)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or is_unknown(value):
        state = "is known after the apply" if is_unknown(value) else "is missing"
        raise CannotEstimate(f"`{'.'.join(path)}` {state}")
    return value
