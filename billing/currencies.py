"""Currencies that can be billed in, and how many decimal places their smallest unit has. Pure.

Source: ISO 4217, list one (currencies and funds), column "minor unit". The funds and metals of that list, and
currencies nobody has asked for, are left out: a currency that is not here is refused, never guessed at.
"""

from decimal import Decimal
from typing import Final

_PLACES: Final = {
    0: "CLP ISK JPY KRW PYG UGX VND XAF XOF XPF",
    2: (
        "AED AUD BGN BRL CAD CHF CNY COP CZK DKK EGP EUR GBP GEL HKD HUF IDR ILS INR KES KZT MAD MXN MYR NGN "
        "NOK NZD PEN PHP PKR PLN QAR RON RSD SAR SEK SGD THB TRY TWD UAH USD UYU ZAR"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}
#: Currency code -> decimal places of its minor unit.
MINOR_PLACES: Final[dict[str, int]] = {
    code: places for places, codes in _PLACES.items() for code in codes.split()
}


def minor_unit(currency: str) -> Decimal:
    """The smallest amount that can be paid: 0.01 for USD, 1 for JPY, 0.001 for KWD. Raises ValueError for a
    currency that is not in the table."""
    try:
        return Decimal(1).scaleb(-MINOR_PLACES[currency])
    except KeyError:
        raise ValueError(f"{currency!r} is not a currency that can be billed in") from None
