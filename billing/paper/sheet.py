"""A sheet of paper and how documents look on it: colours, type, rows, and numbers as they read."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from fpdf import FPDF

from billing.paper.letters import REGULAR, STRONG, shown

INK: Final = (24, 32, 51)
MUTED: Final = (106, 115, 133)
ACCENT: Final = (37, 99, 235)
ALERT: Final = (185, 28, 28)
RULE: Final = (218, 222, 230)
BAND: Final = (245, 247, 250)
MARGIN: Final = 18.0
WIDTH: Final = 210 - 2 * MARGIN
COLUMNS: Final = (92.0, 46.0, 36.0)
_FONT: Final = "inter"


class Sheet(FPDF):
    """A4 in millimetres. `made_at` is written into the file instead of now: the same document gives the same bytes."""

    def __init__(self, *, title: str, made_at: datetime, foot: float) -> None:
        super().__init__(format="A4", unit="mm")
        self.add_font(_FONT, fname=REGULAR)
        self.add_font(_FONT, style="B", fname=STRONG)
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.set_auto_page_break(True, margin=foot)
        self.set_title(shown(title))
        self.set_creator("Freehold")
        self.set_creation_date(made_at)

    def bar_draw(self) -> None:
        self.set_fill_color(*ACCENT)
        self.rect(0, 0, 210, 4, style="F")


def row_draw(
    pdf: FPDF,
    texts: Sequence[str],
    *,
    rule: bool,
    height: float = 7,
    columns: Sequence[float] = COLUMNS,
    numbers_from: int = 1,
) -> None:
    """A text for each of `columns` (widths in mm), to the right from `numbers_from` on."""
    if pdf.will_page_break(height):
        pdf.add_page()
    for index, (text, width) in enumerate(zip(texts, columns, strict=True)):
        pdf.cell(width, height, fitted(pdf, text, width - 2), align="R" if index >= numbers_from else "L")
    pdf.ln(height)
    if rule:
        pdf.set_draw_color(*RULE)
        pdf.line(MARGIN, pdf.get_y(), MARGIN + WIDTH, pdf.get_y())


def type_set(pdf: FPDF, size: float, colour: tuple[int, int, int], style: str = "") -> None:
    pdf.set_font(_FONT, style, size)
    pdf.set_text_color(*colour)


def fitted(pdf: FPDF, text: str, width: float) -> str:
    """Cut to the width in the current font, with dots where something is missing."""
    kept = shown(text)
    if pdf.get_string_width(kept) <= width:
        return kept
    while kept and pdf.get_string_width(kept + "…") > width:
        kept = kept[:-1]
    return kept + "…"


def grouped(number: str, *, places: int = 4) -> str:
    """`-1234567.5` as `-1,234,567.5`; no more than `places` decimals, as the rest is noise on paper."""
    _, _, decimals = number.partition(".")
    rounded = number
    if len(decimals) > places:
        rounded = format(Decimal(number), f".{places}f").rstrip("0").rstrip(".")
    sign, bare = ("-", rounded[1:]) if rounded.startswith("-") else ("", rounded)
    whole, _, rest = bare.partition(".")
    return f"{sign}{int(whole):,}.{rest}" if rest else f"{sign}{int(whole):,}"


def plural(unit: str, number: Decimal) -> str:
    return unit if number == 1 else f"{unit}s"


def moment_text(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
