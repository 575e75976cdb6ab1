"""What an invoice would say: charges, corrections that wait, credits and taxes. Composes; stores nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid5

from billing.currencies import minor_unit
from billing.exact import WIDE, decimal_text, exact_product, exact_sum
from billing.invoicing import states
from billing.invoicing.models import InvoiceLine, Settlement
from billing.invoicing.tax import Taxes
from billing.period import Period
from billing.rating.lines import RatedLine, TierPart
from billing.rating.rounding import split_to_cents

#: Namespace of the ids of invoices: the preview, the draft and the invoice of a period have the same one.
_INVOICES: Final = UUID("5f3c0b0e-6a52-5d0e-9a55-0f6f2f3a7b11")
NOTHING: Final = Decimal(0)
_DECIMALS: Final = ("used", "included", "quantity", "unit_price", "exact", "amount")


@dataclass(frozen=True)
class DraftLine:
    """A line before it is stored; `settlement_id` says which settlement of late usage it comes from."""

    kind: str
    key: str
    meter: str
    description: str
    unit: str
    start: datetime
    end: datetime
    used: Decimal
    included: Decimal
    quantity: Decimal
    unit_price: Decimal
    exact: Decimal
    amount: Decimal
    parts: list[dict[str, Any]] = field(default_factory=list)
    rate_card_key: str = ""
    rate_card_version: int = 0
    tax_rate: Decimal = NOTHING
    tax_amount: Decimal = NOTHING
    settlement_id: UUID | None = None


def invoice_id_of(tenant_id: UUID, period: Period, *, earlier: int = 0) -> UUID:
    """The same for the preview, the draft and the invoice; `earlier` counts voided ones of the period."""
    name = f"{tenant_id} {period.start.isoformat()} {period.end.isoformat()}"
    return uuid5(_INVOICES, f"{name} {earlier}" if earlier else name)


def line_id_of(invoice_id: UUID, line: DraftLine | RatedLine) -> UUID:
    settlement = getattr(line, "settlement_id", None)
    card = getattr(line, "rate_card_key", None) or getattr(line, "card_key", "")
    version = getattr(line, "rate_card_version", None) or getattr(line, "card_version", 0)
    parts = (
        line.kind,
        line.key,
        line.start.isoformat(),
        line.end.isoformat(),
        card,
        version,
        settlement or "",
    )
    return uuid5(invoice_id, " ".join(str(part) for part in parts))


def line_of_charge(line: RatedLine) -> DraftLine:
    return DraftLine(
        kind=line.kind,
        key=line.key,
        meter=line.meter,
        description=line.description,
        unit=line.unit,
        start=line.start,
        end=line.end,
        used=line.used,
        included=line.included,
        quantity=line.quantity,
        unit_price=line.unit_price,
        exact=line.exact,
        amount=line.amount,
        parts=[_part_data(part) for part in line.parts],
        rate_card_key=line.card_key,
        rate_card_version=line.card_version,
    )


def line_of_store(line: InvoiceLine) -> DraftLine:
    """The stored line as it was composed, without its tax."""
    return DraftLine(
        kind=line.kind,
        key=line.key,
        meter=line.meter,
        description=line.description,
        unit=line.unit,
        start=line.start,
        end=line.end,
        used=line.used,
        included=line.included,
        quantity=line.quantity,
        unit_price=line.unit_price,
        exact=line.exact,
        amount=line.amount,
        parts=line.parts,
        rate_card_key=line.rate_card_key,
        rate_card_version=line.rate_card_version,
        settlement_id=line.settlement_id,
    )


def line_data(line: DraftLine) -> dict[str, Any]:
    """As a settlement keeps it: JSON, decimals as text."""
    data = asdict(line)
    for name in _DECIMALS:
        data[name] = decimal_text(data[name])
    for name in ("start", "end"):
        data[name] = data[name].isoformat()
    return {name: data[name] for name in data if name not in ("tax_rate", "tax_amount", "settlement_id")}


def line_of_data(data: Mapping[str, Any], settlement_id: UUID) -> DraftLine:
    known = dict(data)
    for name in _DECIMALS:
        known[name] = Decimal(known[name])
    for name in ("start", "end"):
        known[name] = datetime.fromisoformat(known[name])
    return DraftLine(**known, settlement_id=settlement_id)


def correction_lines(settlements: Iterable[Settlement]) -> list[DraftLine]:
    """Each with the service period it corrects."""
    return [
        replace(line, kind="correction", description=f"Correction: {line.description}")
        for settlement in settlements
        for line in (line_of_data(data, settlement.pk) for data in settlement.lines)
    ]


def subtotal_of(lines: Iterable[DraftLine]) -> Decimal:
    return exact_sum(line.amount for line in lines)


def credit_shares(lines: Sequence[DraftLine], credits: Decimal, currency: str) -> list[Decimal]:
    """What of the credits falls on each line, in proportion to the amounts, adding up to the credits."""
    subtotal = subtotal_of(lines)
    if not credits or not subtotal:
        return [NOTHING for _ in lines]
    exact = [WIDE.divide(exact_product(credits, line.amount), subtotal) for line in lines]
    return split_to_cents(exact, minor_unit(currency))


def with_taxes(lines: Sequence[DraftLine], taxes: Taxes, period: Period) -> list[DraftLine]:
    """The lines with their tax, and one line of kind `tax` for each rate at their end."""
    taxed = [
        replace(line, tax_rate=tax.rate, tax_amount=tax.amount)
        for line, tax in zip(lines, taxes.lines, strict=True)
    ]
    rates: dict[tuple[str, Decimal], list[DraftLine]] = {}
    for line, tax in zip(taxed, taxes.lines, strict=True):
        if tax.rate:
            rates.setdefault((tax.name, tax.rate), []).append(line)
    return taxed + [_tax_line(name, rate, of, period) for (name, rate), of in rates.items()]


def _tax_line(name: str, rate: Decimal, lines: Sequence[DraftLine], period: Period) -> DraftLine:
    amount = exact_sum(line.tax_amount for line in lines)
    return DraftLine(
        kind="tax",
        key=f"tax {name} {decimal_text(rate)}",
        meter="tax",
        description=f"{name} {decimal_text(exact_product(rate, Decimal(100)))} %",
        unit="",
        start=period.start,
        end=period.end,
        used=NOTHING,
        included=NOTHING,
        quantity=NOTHING,
        unit_price=NOTHING,
        exact=amount,
        amount=amount,
    )


def store_line(invoice_id: UUID, position: int, line: DraftLine) -> InvoiceLine:
    known = {item: getattr(line, item) for item in line.__dataclass_fields__}
    return InvoiceLine(id=line_id_of(invoice_id, line), invoice_id=invoice_id, position=position, **known)


def _part_data(part: TierPart) -> dict[str, Any]:
    return {
        name: None if (value := getattr(part, name)) is None else decimal_text(value)
        for name in ("first", "last", "quantity", "unit_price", "flat", "exact")
    }


def pending_settlements(*, tenant_id: UUID, currency: str) -> list[Settlement]:
    return list(
        Settlement.objects.filter(tenant_id=tenant_id, currency=currency, state=states.PENDING).order_by(
            "created_at", "pk"
        )
    )
