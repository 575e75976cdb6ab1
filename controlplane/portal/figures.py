"""How numbers and times read. Pure: decimal strings and datetimes in, text out."""

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from billing.currencies import MINOR_PLACES

_SCALES: Final = ((Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))
#: Below it a price is one of tokens.
_SMALL_PRICE: Final = Decimal("0.0001")
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}


def quantity_text(raw: object, places: int = 4) -> str:
    """`1234567.500000` as `1,234,567.5`. What is no number stays as it is."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def money_text(raw: object, currency: str = "USD") -> str:
    """`1234.5` as `$1,234.50`, with the places that the currency has."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    sign = "-" if value < 0 else ""
    symbol = _SYMBOLS.get(currency)
    amount = f"{abs(value):,.{MINOR_PLACES.get(currency, 2)}f}"
    return f"{sign}{symbol}{amount}" if symbol else f"{sign}{amount} {currency}"


def price_text(raw: object, currency: str = "USD") -> str:
    """A unit price with as many digits as it has, at least two; one too small to read is given per million."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    if 0 < value < _SMALL_PRICE:
        return f"{price_text(value * 10**6, currency)} / 1M"
    digits = max(2, -int(value.normalize().as_tuple().exponent))
    symbol = _SYMBOLS.get(currency, f"{currency} ")
    return f"{symbol}{value:,.{digits}f}"


def compact_text(value: Decimal) -> str:
    """`1500000` as `1.5M`, for axes."""
    for scale, letter in _SCALES:
        if abs(value) >= scale:
            return f"{quantity_text(value / scale, 1)}{letter}"
    return quantity_text(value, 2)


def elapsed_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 5 s`, `1 h 3 min`."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def relative_text(moment: datetime, now: datetime) -> str:
    """`just now`, `5 min ago`, `in 3 days`; a date when it is more than a month away."""
    distance = now - moment
    ahead = distance < timedelta(0)
    seconds = abs(distance.total_seconds())
    if seconds < 45:
        return "in a moment" if ahead else "just now"
    for limit, size, unit in ((3600, 60, "min"), (86400, 3600, "h"), (86400 * 31, 86400, "day")):
        if seconds < limit:
            number = max(1, round(seconds / size))
            plural = "s" if unit == "day" and number != 1 else ""
            return f"in {number} {unit}{plural}" if ahead else f"{number} {unit}{plural} ago"
    return f"{moment:%d %b %Y}"


def _decimal(raw: object) -> Decimal | None:
    try:
        value = raw if isinstance(raw, Decimal) else Decimal(str(raw))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
