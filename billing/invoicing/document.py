"""An invoice as a PDF: A4 pages that a customer can be sent and an auditor can file. A draft says that it is one."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.latin import latin

_INK: Final = (24, 32, 51)
_MUTED: Final = (106, 115, 133)
_ACCENT: Final = (37, 99, 235)
_RULE: Final = (218, 222, 230)
_BAND: Final = (245, 247, 250)
_ALERT: Final = (185, 28, 28)
_FONT: Final = "helvetica"
_MARGIN: Final = 18.0
_WIDTH: Final = 210 - 2 * _MARGIN
#: Description, service period, quantity, unit price, amount.
_COLUMNS: Final = (64.0, 30.0, 34.0, 22.0, 24.0)
_STAMPS: Final = {"draft": "DRAFT", "void": "VOID", "paid": "PAID", "uncollectible": "UNCOLLECTIBLE"}


class _Document(FPDF):
    """Header and footer of every page; fpdf calls them."""

    def __init__(self, invoice: dict[str, Any]) -> None:
        super().__init__(format="A4", unit="mm")
        self.invoice = invoice
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=24)
        self.set_title(latin(f"Invoice {invoice['number'] or 'draft'}"))
        self.set_creator("Freehold")
        # The same invoice gives the same bytes.
        self.set_creation_date(datetime.fromisoformat(invoice["finalized_at"] or invoice["as_of"]))

    def header(self) -> None:
        self.set_fill_color(*_ACCENT)
        self.rect(0, 0, 210, 4, style="F")
        self.set_y(12)
        if self.page_no() > 1:
            _type(self, 8, _MUTED)
            self.cell(_WIDTH, 6, latin(f"Invoice {self.invoice['number'] or 'draft'}"), align="R")
            self.ln(10)

    def footer(self) -> None:
        self.set_y(-18)
        _type(self, 7, _MUTED)
        mark = self.invoice["fingerprint"]
        self.cell(
            _WIDTH, 4, f"Fingerprint (SHA-256) {mark}" if mark else "Not issued yet", new_x=XPos.LMARGIN
        )
        self.ln(4)
        seller = self.invoice["seller"] or {"name": "", "email": ""}
        self.cell(_WIDTH * 0.8, 4, _fitted(self, _joined(seller["name"], seller["email"]), _WIDTH * 0.8))
        self.cell(_WIDTH * 0.2, 4, f"Page {self.page_no()} of {{nb}}", align="R")


def invoice_pdf(invoice: dict[str, Any]) -> bytes:
    """`invoice` is its shape (shape.py). Never fails on a name: what Latin-1 cannot show is transliterated."""
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
    _type(pdf, 12, _INK, "B")
    pdf.cell(_WIDTH / 2, 6, _fitted(pdf, seller["name"], _WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    _type(pdf, 9, _MUTED)
    for text in (*seller["address"], seller["country"], seller["tax_id"] and f"Tax ID {seller['tax_id']}"):
        if text:
            pdf.cell(_WIDTH / 2, 4.5, _fitted(pdf, text, _WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    below = pdf.get_y()
    pdf.set_xy(_MARGIN + _WIDTH / 2, top)
    _type(pdf, 24, _INK, "B")
    pdf.cell(_WIDTH / 2, 10, "Invoice", align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    if stamp := _STAMPS.get(invoice["state"]):
        pdf.set_x(_MARGIN + _WIDTH / 2)
        _type(pdf, 11, _ACCENT if invoice["state"] == "paid" else _ALERT, "B")
        pdf.cell(_WIDTH / 2, 6, stamp, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.set_y(max(below, pdf.get_y()) + 9)


def _parties(pdf: FPDF, invoice: dict[str, Any]) -> None:
    buyer, top = invoice["customer"], pdf.get_y()
    _type(pdf, 8, _MUTED, "B")
    pdf.cell(_WIDTH / 2, 5, "BILL TO", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    _type(pdf, 10, _INK, "B")
    pdf.cell(
        _WIDTH / 2, 5.5, _fitted(pdf, buyer["name"], _WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT
    )
    _type(pdf, 9, _INK)
    tax_id = f"Tax ID {buyer['tax_id']}" if buyer["tax_id"] else ""
    for text in (*buyer["address"], buyer["country"], tax_id, buyer["email"]):
        if text:
            pdf.cell(_WIDTH / 2, 4.5, _fitted(pdf, text, _WIDTH / 2 - 4), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    below = pdf.get_y()
    pdf.set_y(top)
    for name, value in _facts(invoice):
        pdf.set_x(_MARGIN + _WIDTH / 2)
        _type(pdf, 9, _MUTED)
        pdf.cell(_WIDTH / 4, 5.5, name)
        _type(pdf, 9, _INK)
        pdf.cell(
            _WIDTH / 4, 5.5, _fitted(pdf, value, _WIDTH / 4), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT
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
    pdf.set_fill_color(*_BAND)
    pdf.rect(_MARGIN, pdf.get_y(), _WIDTH, 18, style="F")
    pdf.set_xy(_MARGIN + 5, pdf.get_y() + 3)
    _type(pdf, 9, _MUTED)
    open_ones = invoice["state"] in ("finalized", "uncollectible")
    due = f"Amount due by {invoice['due_date']}" if open_ones else "Total"
    pdf.cell(80, 12, due)
    _type(pdf, 18, _INK, "B")
    amount = invoice["amount_due"] if open_ones else invoice["total"]
    shown = f"{invoice['currency']} {_grouped(amount)}"
    pdf.cell(_WIDTH - 90, 12, shown, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(9)


def _lines(pdf: FPDF, invoice: dict[str, Any]) -> None:
    _table_head(pdf, invoice["currency"])
    for line in invoice["lines"]:
        parts = line["parts"]
        _type(pdf, 9, _INK)
        if pdf.will_page_break(6.5):
            pdf.add_page()
            _table_head(pdf, invoice["currency"])
            _type(pdf, 9, _INK)
        price = "tiers" if parts else _grouped(line["unit_price"], places=9)
        bare = line["kind"] in ("correction", "discount", "minimum", "maximum", "trial")
        shown, rest = _wrapped(pdf, line["description"], _COLUMNS[0] - 2)
        _row(
            pdf,
            (
                shown,
                f"{line['period']['from'][5:10]} to {_last_day(line['period']['to'])[5:]}",
                _quantity(line["quantity"], line["unit"]),
                "" if bare else price,
                _grouped(line["amount"]),
            ),
            rule=not parts and not rest,
        )
        if rest:
            _row(pdf, (rest, "", "", "", ""), rule=not parts, height=5)
        _parts(pdf, parts, line["unit"])
    pdf.ln(3)


def _table_head(pdf: FPDF, currency: str) -> None:
    _type(pdf, 7.5, _MUTED, "B")
    _row(pdf, ("DESCRIPTION", "SERVICE PERIOD", "QUANTITY", "UNIT PRICE", currency), rule=True)


def _parts(pdf: FPDF, parts: Sequence[dict[str, Any]], unit: str) -> None:
    _type(pdf, 7.5, _MUTED)
    for index, part in enumerate(parts):
        bounds = f"over {_grouped(part['first'])}" + (f" to {_grouped(part['last'])}" if part["last"] else "")
        flat = f" + {_grouped(part['flat'])} flat" if Decimal(part["flat"]) else ""
        texts = (
            f"   {bounds}",
            "",
            _quantity(part["quantity"], unit),
            _grouped(part["unit_price"], places=9),
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
        _type(pdf, 11 if strong else 9.5, _INK, "B" if strong else "")
        pdf.set_x(_MARGIN + _WIDTH * 0.5)
        pdf.cell(_WIDTH * 0.3, 7, _fitted(pdf, name, _WIDTH * 0.3))
        pdf.cell(_WIDTH * 0.2, 7, _grouped(amount), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if strong:
            pdf.set_draw_color(*_INK)
            pdf.line(_MARGIN + _WIDTH * 0.5, pdf.get_y(), _MARGIN + _WIDTH, pdf.get_y())
    pdf.ln(7)


def _notes(pdf: FPDF, invoice: dict[str, Any]) -> None:
    notes = [invoice["tax_note"]]
    if invoice["state"] == "paid" and invoice["payment_reference"]:
        notes.append(f"Paid on {invoice['paid_at'][:10]}, reference {invoice['payment_reference']}.")
    if invoice["seller"] and invoice["seller"]["payment_details"] and invoice["state"] == "finalized":
        notes.append(f"Payment: {invoice['seller']['payment_details']}. Please name the invoice number.")
    notes.append("Times are in UTC. Each line can be explained down to the events behind it.")
    _type(pdf, 8.5, _MUTED)
    for note in notes:
        if note:
            pdf.multi_cell(_WIDTH, 4.5, latin(note), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            pdf.ln(1.5)


def _row(pdf: FPDF, texts: Sequence[str], *, rule: bool, height: float = 6.5) -> None:
    if pdf.will_page_break(height):
        pdf.add_page()
    for index, (text, width) in enumerate(zip(texts, _COLUMNS, strict=True)):
        pdf.cell(width, height, _fitted(pdf, text, width - 2), align="R" if index > 1 else "L")
    pdf.ln(height)
    if rule:
        pdf.set_draw_color(*_RULE)
        pdf.line(_MARGIN, pdf.get_y(), _MARGIN + _WIDTH, pdf.get_y())


def _type(pdf: FPDF, size: float, colour: tuple[int, int, int], style: str = "") -> None:
    pdf.set_font(_FONT, style, size)
    pdf.set_text_color(*colour)


def _fitted(pdf: FPDF, text: str, width: float) -> str:
    """Cut to the width in the current font, with dots where something is missing."""
    shown = latin(text)
    if pdf.get_string_width(shown) <= width:
        return shown
    while shown and pdf.get_string_width(shown + "...") > width:
        shown = shown[:-1]
    return shown + "..."


def _wrapped(pdf: FPDF, text: str, width: float) -> tuple[str, str]:
    """What fits on a line, by whole words, and what does not."""
    words, shown = latin(text).split(), ""
    while words and pdf.get_string_width(f"{shown} {words[0]}".strip()) <= width:
        shown = f"{shown} {words.pop(0)}".strip()
    return (shown, " ".join(words)) if shown else (text, "")


def _quantity(number: str, unit: str) -> str:
    if not Decimal(number) and not unit:
        return ""
    plural = "" if Decimal(number) == 1 or not unit else "s"
    return f"{_grouped(number)} {unit}{plural}"


def _grouped(number: str, *, places: int = 4) -> str:
    """`-1234567.5` as `-1,234,567.5`; no more than `places` decimals on paper, the rest is in the CSV."""
    value = Decimal(number)
    _, _, decimals = number.partition(".")
    shown = number if len(decimals) <= places else format(value, f".{places}f").rstrip("0").rstrip(".")
    sign, bare = ("-", shown[1:]) if shown.startswith("-") else ("", shown)
    whole, _, rest = bare.partition(".")
    return f"{sign}{int(whole):,}.{rest}" if rest else f"{sign}{int(whole):,}"


def _joined(*texts: str) -> str:
    return "  |  ".join(text for text in texts if text)


def _last_day(end: str) -> str:
    """The day before an end that is excluded, where it is a midnight; else the day itself."""
    moment = datetime.fromisoformat(end)
    midnight = not (moment.hour or moment.minute or moment.second or moment.microsecond)
    return f"{datetime.fromordinal(moment.toordinal() - midnight):%Y-%m-%d}"
