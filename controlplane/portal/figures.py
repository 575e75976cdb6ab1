"""How numbers and times read in the language of the page. Decimal strings and datetimes in, text out."""

from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Final

from django.utils import dates
from django.utils.translation import get_language, gettext, ngettext, pgettext

from billing.currencies import MINOR_PLACES

#: Below it a price is one of tokens.
_SMALL_PRICE: Final = Decimal("0.0001")
_SYMBOLS: Final = {"USD": "$", "EUR": "€", "GBP": "£"}
#: language -> what stands for the comma and the point of English numbers
_MARKS: Final = {"de": str.maketrans(",.", ".,")}


def numeral(text: str) -> str:
    """`1,234.5` as the language writes it."""
    marks = _MARKS.get(get_language() or "")
    return text.translate(marks) if marks else text


def quantity_text(raw: object, places: int = 4) -> str:
    """`1234567.500000` as `1,234,567.5`. What is no number stays as it is."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    text = f"{value:,.{places}f}"
    return numeral(text.rstrip("0").rstrip(".") if "." in text else text)


def money_text(raw: object, currency: str = "USD") -> str:
    """`1234.5` as `$1,234.50`, with the places that the currency has."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    sign = "-" if value < 0 else ""
    return sign + _with_currency(f"{abs(value):,.{MINOR_PLACES.get(currency, 2)}f}", currency)


def price_text(raw: object, currency: str = "USD") -> str:
    """A unit price with as many digits as it has, at least two; one too small to read is given per million."""
    value = _decimal(raw)
    if value is None:
        return str(raw)
    if value < 0:  # what a discount takes off
        return "-" + price_text(-value, currency)
    if 0 < value < _SMALL_PRICE:
        return gettext("%(price)s / 1M") % {"price": price_text(value * 10**6, currency)}
    digits = max(2, -int(value.normalize().as_tuple().exponent))
    amount = f"{value:,.{digits}f}"
    return _with_currency(amount, currency) if currency in _SYMBOLS or _after() else f"{currency} {amount}"


def compact_text(value: Decimal) -> str:
    """`1500000` as `1.5M`, for axes."""
    scales = (
        (Decimal(10) ** 9, pgettext("billion", "B")),
        (Decimal(10) ** 6, pgettext("million", "M")),
        (Decimal(10) ** 3, pgettext("thousand", "k")),
    )
    for scale, letters in scales:
        if abs(value) >= scale:
            return f"{quantity_text(value / scale, 1)}{letters}"
    return quantity_text(value, 2)


def elapsed_text(seconds: float) -> str:
    """`0.4 s`, `12 s`, `2 min 5 s`, `1 h 3 min`."""
    if seconds < 10:
        return numeral(f"{max(seconds, 0):.1f} s")
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
        return gettext("in a moment") if ahead else gettext("just now")
    for limit, size, unit in ((3600, 60, "min"), (86400, 3600, "h")):
        if seconds < limit:
            text = f"{max(1, round(seconds / size))} {unit}"
            return (gettext("in %(time)s") if ahead else gettext("%(time)s ago")) % {"time": text}
    if seconds < 86400 * 31:
        number = max(1, round(seconds / 86400))
        days = (
            ngettext("in %(number)d day", "in %(number)d days", number)
            if ahead
            else ngettext("%(number)d day ago", "%(number)d days ago", number)
        )
        return days % {"number": number}
    return day_text(moment)


def day_text(moment: date) -> str:
    """`02 Nov 2026`."""
    return gettext("%(day)s %(month)s %(year)d") % _parts(moment, padded=True)


def dated_text(moment: date) -> str:
    """`2 Nov 2026`."""
    return gettext("%(day)s %(month)s %(year)d") % _parts(moment, padded=False)


def day_month_text(moment: date, *, padded: bool = False) -> str:
    """`2 Nov`."""
    return gettext("%(day)s %(month)s") % _parts(moment, padded=padded)


def month_text(moment: date) -> str:
    """`Nov 2026`."""
    return gettext("%(month)s %(year)d") % _parts(moment, padded=False)


def _parts(moment: date, *, padded: bool) -> dict[str, object]:
    # Capitalized as strftime has English months; Django keeps them in the languages it speaks.
    month = str(dates.MONTHS_3[moment.month]).title()
    return {"day": f"{moment.day:02d}" if padded else str(moment.day), "month": month, "year": moment.year}


def _with_currency(amount: str, currency: str) -> str:
    symbol = _SYMBOLS.get(currency)
    amount = numeral(amount)
    if symbol and not _after():
        return f"{symbol}{amount}"
    # The space does not break: an amount and its currency stay on one line.
    return f"{amount}\N{NO-BREAK SPACE}{symbol or currency}"


def _after() -> bool:
    """Whether the language writes a currency's symbol after the amount."""
    return get_language() == "de"


def _decimal(raw: object) -> Decimal | None:
    try:
        value = raw if isinstance(raw, Decimal) else Decimal(str(raw))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None
