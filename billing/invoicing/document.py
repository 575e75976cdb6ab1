"""An invoice as a PDF: A4 pages that a customer can be sent and an auditor can file. A draft says that it is one."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.paper.letters import shown
from billing.paper.sheet import (
    ACCENT,
    ALERT,
    BAND,
    INK,
    MARGIN,
    MUTED,
    WIDTH,
    Sheet,
    fitted,
    grouped,
    plural,
    row_draw,
    type_set,
)

#: Description, service period, quantity, unit price, amount.
_COLUMNS: Final = (64.0, 30.0, 34.0, 22.0, 24.0)
_STAMPS: Final = {"draft": "DRAFT", "void": "VOID", "paid": "PAID", "uncollectible": "UNCOLLECTIBLE"}


class _Document(Sheet):
    """Header and footer of every page; fpdf calls them."""

    def __init__(self, invoice: dict[str, Any]) -> None:
        made_at = datetime.fromisoformat(invoice["finalized_at"] or invoice["as_of"])
        super().__init__(title=f"Invoice {invoice['number'] or 'draft'}", made_at=made_at, foot=24)
        self.invoice = invoice

    def header(self) -> None:
        self.bar_draw()
        self.set_y(12)
        if self.page_no() > 1:
            type_set(self, 8, MUTED)
            self.cell(WIDTH, 6, shown(f"Invoice {self.invoice['number'] or 'draft'}"), align="R")
            self.ln(10)

    def footer(self) -> None:
        self.set_y(-18)
        type_set(self, 7, MUTED)
        mark = self.invoice["fingerprint"]
        self.cell(WIDTH, 4, f"Fingerprint (SHA-256) {mark}" if mark else "Not issued yet", new_x=XPos.LMARGIN)
        self.ln(4)
        seller = self.invoice["seller"] or {"name": "", "email": ""}
        self.cell(WIDTH * 0.8, 4, fitted(self, _joined(seller["name"], seller["email"]), WIDTH * 0.8))
        self.cell(WIDTH * 0.2, 4, f"Page {self.page_no()} of {{nb}}", align="R")


def invoice_pdf(invoice: dict[str, Any]) -> bytes:
    """`invoice` is its shape (shape.py). Never fails on a name: letters that the typeface lacks are replaced."""
    pdf = _Document(invoice)
    pdf.add_page()
    _letterhead(pdf, invoice)
    _parties(pdf, invoice)
    _band(pdf, invoice)
    _lines(pdf, invoice)
    _totals(pdf, invoice)
    _notes(pdf, invoice)
    return bytes(pdf.output())


def _letterhead(pdf: FPDF, invoice: dict[str, Any]) -> None:
    seller = invoice["seller"] or {"name": "", "address": [], "tax_id": "", "email": "", "country": ""}
    top = pdf.get_y()
    type_set(pdf, 12, INK, "B")
    pdf.cell(WIDTH / 2, 6, fitted(pdf, seller["name"], WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    type_set(pdf, 9, MUTED)
    for text in (*seller["address"], seller["country"], seller["tax_id"] and f"Tax ID {seller['tax_id']}"):
        if text:
            pdf.cell(WIDTH / 2, 4.5, fitted(pdf, text, WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    below = pdf.get_y()
    pdf.set_xy(MARGIN + WIDTH / 2, top)
    type_set(pdf, 24, INK, "B")
    pdf.cell(WIDTH / 2, 10, "Invoice", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    if stamp := _STAMPS.get(invoice["state"]):
        pdf.set_x(MARGIN + WIDTH / 2)
        type_set(pdf, 11, ACCENT if invoice["state"] == "paid" else ALERT, "B")
        pdf.cell(WIDTH / 2, 6, stamp, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_y(max(below, pdf.get_y()) + 9)


def _parties(pdf: FPDF, invoice: dict[str, Any]) -> None:
    buyer, top = invoice["customer"], pdf.get_y()
    type_set(pdf, 8, MUTED, "B")
    pdf.cell(WIDTH / 2, 5, "BILL TO", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    type_set(pdf, 10, INK, "B")
    pdf.cell(WIDTH / 2, 5.5, fitted(pdf, buyer["name"], WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    type_set(pdf, 9, INK)
    tax_id = f"Tax ID {buyer['tax_id']}" if buyer["tax_id"] else ""
    for text in (*buyer["address"], buyer["country"], tax_id, buyer["email"]):
        if text:
            pdf.cell(WIDTH / 2, 4.5, fitted(pdf, text, WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    below = pdf.get_y()
    pdf.set_y(top)
    for name, value in _facts(invoice):
        pdf.set_x(MARGIN + WIDTH / 2)
        type_set(pdf, 9, MUTED)
        pdf.cell(WIDTH / 4, 5.5, name)
        type_set(pdf, 9, INK)
        pdf.cell(
            WIDTH / 4, 5.5, fitted(pdf, value, WIDTH / 4), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
    pdf.set_y(max(below, pdf.get_y()) + 8)


def _facts(invoice: dict[str, Any]) -> list[tuple[str, str]]:
    first, last = invoice["period"]["from"][:10], _last_day(invoice["period"]["to"])
    facts = [
        ("Invoice number", invoice["number"] or "none yet"),
        ("Date of issue", (invoice["finalized_at"] or "")[:10] or "not issued"),
        ("Due date", invoice["due_date"] or "none yet"),
        ("Period", f"{first} to {last}"),
    ]
    if invoice["customer"]["purchase_order"]:
        facts.append(("Purchase order", invoice["customer"]["purchase_order"]))
    return facts


def _band(pdf: FPDF, invoice: dict[str, Any]) -> None:
    pdf.set_fill_color(*BAND)
    pdf.rect(MARGIN, pdf.get_y(), WIDTH, 18, style="F")
    pdf.set_xy(MARGIN + 5, pdf.get_y() + 3)
    type_set(pdf, 9, MUTED)
    open_ones = invoice["state"] in ("finalized", "uncollectible")
    due = f"Amount due by {invoice['due_date']}" if open_ones else "Total"
    pdf.cell(80, 12, due)
    type_set(pdf, 18, INK, "B")
    amount = invoice["amount_due"] if open_ones else invoice["total"]
    price = f"{invoice['currency']} {grouped(amount)}"
    pdf.cell(WIDTH - 90, 12, price, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(9)


def _lines(pdf: FPDF, invoice: dict[str, Any]) -> None:
    _table_head(pdf, invoice["currency"])
    for line in invoice["lines"]:
        parts = line["parts"]
        type_set(pdf, 9, INK)
        if pdf.will_page_break(6.5):
            pdf.add_page()
            _table_head(pdf, invoice["currency"])
            type_set(pdf, 9, INK)
        price = "tiers" if parts else grouped(line["unit_price"], places=9)
        bare = line["kind"] in ("correction", "discount", "minimum", "maximum", "trial")
        first, rest = _wrapped(pdf, line["description"], _COLUMNS[0] - 2)
        _row(
            pdf,
            (
                first,
                f"{line['period']['from'][5:10]} to {_last_day(line['period']['to'])[5:]}",
                _quantity(line["quantity"], line["unit"]),
                "" if bare else price,
                grouped(line["amount"]),
            ),
            rule=not parts and not rest,
        )
        if rest:
            _row(pdf, (rest, "", "", "", ""), rule=not parts, height=5)
        _parts(pdf, parts, line["unit"])
    pdf.ln(3)


def _table_head(pdf: FPDF, currency: str) -> None:
    type_set(pdf, 7.5, MUTED, "B")
    _row(pdf, ("DESCRIPTION", "SERVICE PERIOD", "QUANTITY", "UNIT PRICE", currency), rule=True)


def _parts(pdf: FPDF, parts: Sequence[dict[str, Any]], unit: str) -> None:
    type_set(pdf, 7.5, MUTED)
    for index, part in enumerate(parts):
        bounds = f"over {grouped(part['first'])}" + (f" to {grouped(part['last'])}" if part["last"] else "")
        flat = f" + {grouped(part['flat'])} flat" if Decimal(part["flat"]) else ""
        texts = (
            f"   {bounds}",
            "",
            _quantity(part["quantity"], unit),
            grouped(part["unit_price"], places=9),
            "",
        )
        _row(pdf, (texts[0] + flat, *texts[1:]), rule=index == len(parts) - 1, height=4.5)


def _totals(pdf: FPDF, invoice: dict[str, Any]) -> None:
    rows = [("Subtotal", invoice["subtotal"])]
    if Decimal(invoice["credits"]):
        rows.append(("Credits applied", f"-{invoice['credits']}"))
    rows += [(tax["description"], tax["amount"]) for tax in invoice["taxes"]]
    rows.append((f"Total {invoice['currency']}", invoice["total"]))
    rows += [(f"Credit note {note['number']}", f"-{note['total']}") for note in invoice["credit_notes"]]
    if invoice["state"] in ("finalized", "uncollectible") and invoice["credit_notes"]:
        rows.append(("Amount due", invoice["amount_due"]))
    if pdf.will_page_break(7 * len(rows) + 6):
        pdf.add_page()
    for name, amount in rows:
        strong = name.startswith(("Total", "Amount due"))
        type_set(pdf, 11 if strong else 9.5, INK, "B" if strong else "")
        pdf.set_x(MARGIN + WIDTH * 0.5)
        pdf.cell(WIDTH * 0.3, 7, fitted(pdf, name, WIDTH * 0.3))
        pdf.cell(WIDTH * 0.2, 7, grouped(amount), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if strong:
            pdf.set_draw_color(*INK)
            pdf.line(MARGIN + WIDTH * 0.5, pdf.get_y(), MARGIN + WIDTH, pdf.get_y())
    pdf.ln(7)


def _notes(pdf: FPDF, invoice: dict[str, Any]) -> None:
    notes = [invoice["tax_note"]]
    if invoice["state"] == "paid" and invoice["payment_reference"]:
        notes.append(f"Paid on {invoice['paid_at'][:10]}, reference {invoice['payment_reference']}.")
    if invoice["seller"] and invoice["seller"]["payment_details"] and invoice["state"] == "finalized":
        notes.append(f"Payment: {invoice['seller']['payment_details']}. Please name the invoice number.")
    notes.append("Times are in UTC. Each line can be explained down to the events behind it.")
    type_set(pdf, 8.5, MUTED)
    for note in notes:
        if note:
            pdf.multi_cell(WIDTH, 4.5, shown(note), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            pdf.ln(1.5)


def _row(pdf: FPDF, texts: Sequence[str], *, rule: bool, height: float = 6.5) -> None:
    row_draw(pdf, texts, rule=rule, height=height, columns=_COLUMNS, numbers_from=2)


def _wrapped(pdf: FPDF, text: str, width: float) -> tuple[str, str]:
    """What fits on a line, by whole words, and what does not."""
    words, line = shown(text).split(), ""
    while words and pdf.get_string_width(f"{line} {words[0]}".strip()) <= width:
        line = f"{line} {words.pop(0)}".strip()
    return (line, " ".join(words)) if line else (text, "")


def _quantity(number: str, unit: str) -> str:
    if not Decimal(number) and not unit:
        return ""
    return f"{grouped(number)} {plural(unit, Decimal(number)) if unit else ''}"


def _joined(*texts: str) -> str:
    return "  |  ".join(text for text in texts if text)


def _last_day(end: str) -> str:
    """The day before an end that is excluded, where it is a midnight; else the day itself."""
    moment = datetime.fromisoformat(end)
    midnight = not (moment.hour or moment.minute or moment.second or moment.microsecond)
    return f"{datetime.fromordinal(moment.toordinal() - midnight):%Y-%m-%d}"
