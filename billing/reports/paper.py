"""How a report looks on paper: colours, type, rows, and numbers as they read. Shared by all documents."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from fpdf import FPDF

from billing.latin import latin

INK: Final = (24, 32, 51)
MUTED: Final = (106, 115, 133)
ACCENT: Final = (37, 99, 235)
RULE: Final = (218, 222, 230)
BAND: Final = (245, 247, 250)
_FONT: Final = "helvetica"
MARGIN: Final = 18.0
WIDTH: Final = 210 - 2 * MARGIN
COLUMNS: Final = (92.0, 46.0, 36.0)


def row_draw(pdf: FPDF, texts: tuple[str, str, str], *, rule: bool, height: float = 7) -> None:
    if pdf.will_page_break(height):
        pdf.add_page()
    for index, (text, width) in enumerate(zip(texts, COLUMNS, strict=True)):
        pdf.cell(width, height, fitted(pdf, text, width - 2), align="R" if index else "L")
    pdf.ln(height)
    if rule:
        pdf.set_draw_color(*RULE)
        pdf.line(MARGIN, pdf.get_y(), MARGIN + WIDTH, pdf.get_y())


def type_set(pdf: FPDF, size: int, colour: tuple[int, int, int], style: str = "") -> None:
    pdf.set_font(_FONT, style, size)
    pdf.set_text_color(*colour)


def fitted(pdf: FPDF, text: str, width: float) -> str:
    """Cut to the width in the current font, with dots where something is missing."""
    shown = latin(text)
    if pdf.get_string_width(shown) <= width:
        return shown
    while shown and pdf.get_string_width(shown + "...") > width:
        shown = shown[:-1]
    return shown + "..."


def grouped(number: str) -> str:
    """`1234567.5` as `1,234,567.5`; at most four places, as the rest is noise on paper."""
    if number.startswith("-"):
        return f"-{grouped(number[1:])}"
    whole, _, places = number.partition(".")
    shown = places if len(places) <= 4 else format(Decimal(f"0.{places}"), ".4f")[2:]
    if len(places) > 4 and Decimal(f"0.{places}") >= Decimal("0.99995"):
        whole, shown = str(int(whole) + 1), ""
    return f"{int(whole):,}.{shown}" if shown else f"{int(whole):,}"


def plural(unit: str, number: Decimal) -> str:
    return unit if number == 1 else f"{unit}s"


def moment_text(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
