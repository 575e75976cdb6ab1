"""What of a planned resource is paid for: SKUs and monthly quantities. Pure.

An SKU's price is per unit: `hour` for what runs, `GB-month` for what lies, `month` for what is rented.
"""

from collections.abc import Callable, Mapping
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


Inputs = Mapping[str, Any]
Estimator = Callable[[Inputs], list[Quantity]]


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
