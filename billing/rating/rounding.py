"""The one place where money is rounded. Pure.

The total is the exact sum rounded to the currency's minor unit, half away from zero, once. Lines then get
their whole units by largest remainder (ties: the earlier line), so they add up to the total, each within one
unit of its exact amount, and a line that is a whole number of units stays as it is. Negative lines (discounts)
take part like any other.
"""

from collections.abc import Sequence
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal

from billing.exact import CENT, WIDE, exact_sum


def split_to_cents(exact: Sequence[Decimal], unit: Decimal = CENT) -> list[Decimal]:
    """Whole minor units (`unit`: 0.01, 1, 0.001) for each amount, adding up to the rounded sum."""
    total = exact_sum(exact).quantize(unit, rounding=ROUND_HALF_UP, context=WIDE)
    dealt = [amount.quantize(unit, rounding=ROUND_FLOOR, context=WIDE) for amount in exact]
    spare = int(WIDE.divide(WIDE.subtract(total, exact_sum(dealt)), unit))
    by_remainder = sorted(
        range(len(exact)), key=lambda index: (WIDE.subtract(dealt[index], exact[index]), index)
    )
    for index in by_remainder[:spare]:
        dealt[index] = WIDE.add(dealt[index], unit)
    return dealt
