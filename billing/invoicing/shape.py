"""An invoice as the API shows it (contract.md section 3), from rated lines. Pure.

Line amounts may differ by up to a cent from quantity x unit price: cents are dealt out so that the lines add
up (see billing.rating.rate).
"""

from decimal import Decimal
from typing import Final, TypedDict
from uuid import UUID, uuid5

from billing.exact import decimal_text, exact_sum, money_text
from billing.period import Period
from billing.rating.rate import RatedLine, RatedLines

#: Namespace of the ids of previews, which are the same each time one is made.
_PREVIEWS: Final = UUID("5f3c0b0e-6a52-5d0e-9a55-0f6f2f3a7b11")


class InvoiceLine(TypedDict):
    """`quantity` is what is charged: `used` less the `included` allowance. All decimals are strings."""

    id: str
    description: str
    meter: str
    quantity: str
    unit: str
    unit_price: str
    amount: str
    used: str
    included: str


class RateCardRef(TypedDict):
    key: str
    version: int


class Invoice(TypedDict):
    """`number` stays null until the invoice is final."""

    id: str
    number: str | None
    state: str
    customer: dict[str, str]
    period: dict[str, str]
    as_of: str
    rate_card: RateCardRef
    currency: str
    lines: list[InvoiceLine]
    subtotal: str
    credits: str
    tax: str
    total: str


def draft_shape(
    *, tenant_id: UUID, customer_name: str, period: Period, as_of: str, rated: RatedLines
) -> Invoice:
    """A draft without credits and tax: subtotal and total are the rated total."""
    invoice_id = uuid5(_PREVIEWS, f"{tenant_id} {period.start.isoformat()} {period.end.isoformat()}")
    subtotal = exact_sum(line.amount for line in rated.lines)
    return Invoice(
        id=str(invoice_id),
        number=None,
        state="draft",
        customer={"name": customer_name},
        period=period.as_wire(),
        as_of=as_of,
        rate_card=RateCardRef(key=rated.card_key, version=rated.card_version),
        currency=rated.currency,
        lines=[_line(invoice_id, line, rated.currency) for line in rated.lines],
        subtotal=money_text(subtotal, rated.currency),
        credits=money_text(Decimal(0), rated.currency),
        tax=money_text(Decimal(0), rated.currency),
        total=money_text(rated.total, rated.currency),
    )


def _line(invoice_id: UUID, line: RatedLine, currency: str) -> InvoiceLine:
    return InvoiceLine(
        id=str(uuid5(invoice_id, line.key)),
        description=line.description,
        meter=line.meter,
        quantity=decimal_text(line.quantity),
        unit=line.unit,
        unit_price=decimal_text(line.unit_price),
        amount=money_text(line.amount, currency),
        used=decimal_text(line.used),
        included=decimal_text(line.included),
    )
