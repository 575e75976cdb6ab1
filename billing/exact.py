"""Exact decimal arithmetic and its text on the wire.

Python's default context keeps 28 digits and rounds the rest away silently: a sum of large token counts would
lose its tail. Sums and products here run with 100 digits; every rounding is asked for by name.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Context, Decimal

from billing.currencies import minor_unit

WIDE = Context(prec=100, rounding=ROUND_HALF_EVEN)
#: Quantities are kept to twelve places, as the usage events are (contracts/usage.py).
QUANTITY_STEP = Decimal("0.000000000001")
CENT = Decimal("0.01")


def exact_sum(values: Iterable[Decimal]) -> Decimal:
    total = Decimal(0)
    for value in values:
        total = WIDE.add(total, value)
    return total


def exact_product(left: Decimal, right: Decimal) -> Decimal:
    return WIDE.multiply(left, right)


def quantity(numerator: Decimal | int, denominator: Decimal | int = 1) -> Decimal:
    """The quotient, rounded once (half to even) to twelve places."""
    return WIDE.divide(Decimal(numerator), Decimal(denominator)).quantize(QUANTITY_STEP, context=WIDE)


def decimal_text(value: Decimal) -> str:
    """Plain notation without trailing zeros or an exponent; zero is `"0"`."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def money_text(value: Decimal, currency: str = "USD") -> str:
    """The places of the currency's minor unit (two for USD, none for JPY), for an amount that has been rounded
    to it already; anything finer is a fault of ours."""
    cents = value.quantize(minor_unit(currency), context=WIDE)
    if cents != value:
        raise ArithmeticError(f"{value} was not rounded to cents before it was shown")
    return format(cents, "f")
