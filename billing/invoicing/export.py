"""The hash-chained export of an issued invoice, and the fingerprint that stands on it (contracts/invoice_chain.py).

The export is the same each time, as its events are those that were known when the invoice was rated.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from billing.exact import decimal_text, exact_sum, money_text
from billing.invoicing import states
from billing.invoicing.explain import line_events, line_is_metered, line_tolerance
from billing.invoicing.models import Invoice, InvoiceExport, InvoiceLine
from contracts.invoice_chain import chain, record_text
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, OperatorError

FORMAT = "freehold.invoice-export.v1"
PAGE = 1000


def fingerprint_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> str:
    """The hash of the last of the invoice's own records: it stands for every amount and every word on it."""
    *_, last = chain(_own_records(invoice, lines))
    return str(last["hash"])


def invoice_export(*, invoice: Invoice, at: datetime) -> Iterator[str]:
    """The lines of the file, each with its line feed. The first whole export keeps its head with the invoice.

    Raises Conflict (`invoice_not_issued`) for a draft. OperatorError in the middle of it when the head differs from
    the one that was kept: what it was made from has changed.
    """
    if invoice.state == states.DRAFT:
        raise Conflict("A draft has nothing to export yet.", code="invoice_not_issued")
    return _texts(invoice, at)


def _texts(invoice: Invoice, at: datetime) -> Iterator[str]:
    last: dict[str, Any] = {}
    for last in chain(_records(invoice)):
        if last["type"] == "end":
            _head_keep(invoice, records=last["seq"], head=last["hash"], at=at)
        yield record_text(last) + "\n"


def _head_keep(invoice: Invoice, *, records: int, head: str, at: datetime) -> None:
    kept, _ = InvoiceExport.objects.get_or_create(
        invoice=invoice, defaults={"records": records, "head": head, "created_at": at}
    )
    if (kept.records, kept.head) != (records, head):
        raise OperatorError(
            f"The export of {invoice.number} comes to another head than the one that was kept.",
            code="export_changed",
            hint="Usage it was made from was changed or removed; compare with an earlier export.",
        )


def _records(invoice: Invoice) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = list(invoice.lines.order_by("position"))
    count = 0
    for count, record in enumerate(_own_records(invoice, lines), start=1):  # noqa: B007 - counted on below
        yield record
    for line in lines:
        if not line_is_metered(line):
            continue
        values, after = [], None
        while True:
            page = line_events(invoice=invoice, line=line, limit=PAGE, after=after)
            for event in page.events:
                count += 1
                values.append(event.value)
                yield "event", {"line": str(line.pk), **event.as_data()}
            if (after := page.next) is None:
                break
        count += 1
        yield (
            "sum",
            {
                "line": str(line.pk),
                "events": len(values),
                "value": decimal_text(exact_sum(values)),
                "tolerance": line_tolerance(line),
            },
        )
    yield "end", {"records": count + 1}


def _own_records(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "invoice", _invoice_data(invoice)
    for line in lines:
        yield "line", _line_data(line, invoice.currency)


def _invoice_data(invoice: Invoice) -> dict[str, Any]:
    assert invoice.finalized_at is not None
    assert invoice.due_at is not None
    money = ("subtotal", "credits", "tax", "total")
    return {
        "format": FORMAT,
        "id": str(invoice.pk),
        "kind": invoice.kind,
        "number": invoice.number,
        "seller": dict(invoice.seller),
        "buyer": dict(invoice.buyer),
        "currency": invoice.currency,
        "period_from": moment_text(invoice.period_start),
        "period_to": moment_text(invoice.period_end),
        "finalized_at": moment_text(invoice.finalized_at),
        "due_at": moment_text(invoice.due_at),
        "as_of": moment_text(invoice.as_of),
        "known_at": moment_text(invoice.known_at),
        "rate_cards": list(invoice.cards),
        **{name: money_text(getattr(invoice, name), invoice.currency) for name in money},
        "tax_note": invoice.tax_note,
    }  # fmt: skip


def _line_data(line: InvoiceLine, currency: str) -> dict[str, Any]:
    exact = ("used", "included", "quantity", "unit_price", "exact", "tax_rate")
    return {
        "id": str(line.pk),
        "position": line.position,
        "kind": line.kind,
        "key": line.key,
        "meter": line.meter,
        "metered": line_tolerance(line) is not None,
        "description": line.description,
        "unit": line.unit,
        "from": moment_text(line.start),
        "to": moment_text(line.end),
        **{name: decimal_text(getattr(line, name)) for name in exact},
        "amount": money_text(line.amount, currency),
        "tax_amount": money_text(line.tax_amount, currency),
        "parts": line.parts,
        "rate_card": {"key": line.rate_card_key, "version": line.rate_card_version},
    }
