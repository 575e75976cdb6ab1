"""An invoice as the API shows it (contract.md section 3), from rated lines or from the store. Pure.

Line amounts may differ by up to a minor unit from quantity x unit price: minor units are dealt out so that the lines
add up (see billing.rating.rounding). All decimals are strings.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

from billing.exact import decimal_text, money_text
from billing.invoicing import states
from billing.invoicing.drafts import (
    NOTHING,
    DraftLine,
    invoice_id_of,
    line_id_of,
    line_of_charge,
    line_of_store,
    subtotal_of,
)
from billing.invoicing.models import CreditNote, PeriodClose
from billing.invoicing.models import Invoice as StoredInvoice
from billing.period import Period
from billing.rating.rate import RatedLines
from controlplane.core.clock import moment_text, moment_text_or_none


class InvoiceLine(TypedDict):
    """`quantity` is what is charged: `used` less the `included` allowance. `period` is the service period."""

    id: str
    kind: str
    description: str
    meter: str
    period: dict[str, str]
    quantity: str
    unit: str
    unit_price: str
    amount: str
    used: str
    included: str
    parts: list[dict[str, Any]]
    rate_card: "RateCardRef"


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
    """A preview, without credits and tax: subtotal and total are the rated total."""
    invoice_id = invoice_id_of(tenant_id, period)
    lines = [line_of_charge(line) for line in rated.lines]
    subtotal = subtotal_of(lines)
    return Invoice(
        id=str(invoice_id),
        number=None,
        state=states.DRAFT,
        customer={"name": customer_name},
        period=period.as_wire(),
        as_of=as_of,
        rate_card=RateCardRef(key=rated.card_key, version=rated.card_version),
        currency=rated.currency,
        lines=[_line(line_id_of(invoice_id, line), line, rated.currency) for line in lines],
        subtotal=money_text(subtotal, rated.currency),
        credits=money_text(NOTHING, rated.currency),
        tax=money_text(NOTHING, rated.currency),
        total=money_text(rated.total, rated.currency),
    )


def invoice_shape(invoice: StoredInvoice, *, due: Decimal) -> dict[str, Any]:
    """A stored invoice with everything on it; `due` is what is left to pay. The lines of kind `tax` are `taxes`."""
    currency = invoice.currency
    stored = list(invoice.lines.all())
    export = getattr(invoice, "export", None)
    return {
        "id": str(invoice.pk),
        "kind": invoice.kind,
        "number": invoice.number,
        "state": invoice.state,
        "state_reason": invoice.state_reason,
        "tenant": invoice.buyer.get("slug", ""),
        "customer": _buyer(invoice.buyer),
        "seller": dict(invoice.seller) or None,
        "period": {"from": moment_text(invoice.period_start), "to": moment_text(invoice.period_end)},
        "as_of": moment_text(invoice.as_of),
        "rate_card": RateCardRef(key=invoice.rate_card_key, version=invoice.rate_card_version),
        "currency": currency,
        "lines": [_line(row.pk, line_of_store(row), currency) for row in stored if row.kind != "tax"],
        "taxes": [
            {"id": str(row.pk), "description": row.description, "amount": money_text(row.amount, currency)}
            for row in stored
            if row.kind == "tax"
        ],
        "tax_note": invoice.tax_note,
        **{
            name: money_text(getattr(invoice, name), currency)
            for name in ("subtotal", "credits", "tax", "total")
        },
        "amount_due": money_text(due, currency),
        "credit_notes": [credit_note_shape(note) for note in invoice.credit_notes.all()],
        "created_at": moment_text(invoice.created_at),
        "finalized_at": moment_text_or_none(invoice.finalized_at),
        "due_date": None if invoice.due_at is None else f"{invoice.due_at:%Y-%m-%d}",
        "paid_at": moment_text_or_none(invoice.paid_at),
        "payment_reference": invoice.payment_reference,
        "voided_at": moment_text_or_none(invoice.voided_at),
        "uncollectible_at": moment_text_or_none(invoice.uncollectible_at),
        "fingerprint": invoice.fingerprint or None,
        "export": None if export is None else {"records": export.records, "head": export.head},
    }


def credit_note_shape(note: CreditNote) -> dict[str, Any]:
    return {
        "id": str(note.pk),
        "number": note.number,
        "invoice": str(note.invoice_id),
        "currency": note.currency,
        **{name: money_text(getattr(note, name), note.currency) for name in ("amount", "tax", "total")},
        "reason": note.reason,
        "lines": [
            {
                name: line[name]
                for name in ("description", "meter", "start", "end", "quantity", "unit", "amount")
            }
            for line in note.lines
        ],
        "created_at": moment_text(note.created_at),
    }


def close_shape(close: PeriodClose) -> dict[str, Any]:
    """Where each tenant stands; `progress` counts them by state."""
    turns = list(close.tenants.all())
    return {
        "id": str(close.pk),
        "period": f"{close.period_start:%Y-%m}",
        "state": close.state,
        "known_at": moment_text(close.known_at),
        "started_by": close.started_by,
        "created_at": moment_text(close.created_at),
        "finished_at": moment_text_or_none(close.finished_at),
        "progress": {state: sum(turn.state == state for turn in turns) for state in states.TENANT_STATES},
        "tenants": [
            {
                "tenant": turn.slug,
                "tenant_id": str(turn.tenant_id),
                "state": turn.state,
                "invoice": None if turn.invoice_id is None else str(turn.invoice_id),
                "detail": turn.detail,
                "released_by": turn.released_by or None,
                "release_reason": turn.release_reason,
                "updated_at": moment_text(turn.updated_at),
            }
            for turn in turns
        ],
    }


def _buyer(buyer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: buyer.get(name, [] if name == "address" else "")
        for name in ("name", "address", "country", "tax_id", "email", "purchase_order")
    }


def _line(line_id: UUID, line: DraftLine, currency: str) -> InvoiceLine:
    return InvoiceLine(
        id=str(line_id),
        kind=line.kind,
        description=line.description,
        meter=line.meter,
        period={"from": moment_text(line.start), "to": moment_text(line.end)},
        quantity=decimal_text(line.quantity),
        unit=line.unit,
        unit_price=decimal_text(line.unit_price),
        amount=money_text(line.amount, currency),
        used=decimal_text(line.used),
        included=decimal_text(line.included),
        parts=line.parts,
        rate_card=RateCardRef(key=line.rate_card_key, version=line.rate_card_version),
    )
