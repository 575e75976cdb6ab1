"""The usage report as a PDF: one or more A4 pages a customer can be sent."""

from datetime import datetime
from decimal import Decimal
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.latin import latin
from billing.reports.selectors import DailyTotal, MeterReport, UsageReport

_INK: Final = (24, 32, 51)
_MUTED: Final = (106, 115, 133)
_ACCENT: Final = (37, 99, 235)
_RULE: Final = (218, 222, 230)
_BAND: Final = (245, 247, 250)
_FONT: Final = "helvetica"
_MARGIN: Final = 18.0
_WIDTH: Final = 210 - 2 * _MARGIN
_COLUMNS: Final = (92.0, 46.0, 36.0)
#: Charts are drawn for these, where they saw usage; more would repeat each other.
_CHARTED: Final = ("input_tokens", "output_tokens", "agent_runs", "tool_calls", "gpu_hours")
_MOST_CHARTS: Final = 3
_LONGEST_GROUP_LIST: Final = 12


class _Document(FPDF):
    """Header and footer of every page; fpdf calls them."""

    def __init__(self, report: UsageReport) -> None:
        super().__init__(format="A4", unit="mm")
        self.report = report
        self.set_margins(_MARGIN, _MARGIN, _MARGIN)
        self.set_auto_page_break(True, margin=22)
        self.set_title(latin(f"Usage report {report['tenant']['slug']} {report['period']}"))
        self.set_creator("Freehold")
        # The same report gives the same bytes.
        self.set_creation_date(datetime.fromisoformat(report["generated_at"]))

    def header(self) -> None:
        self.set_fill_color(*_ACCENT)
        self.rect(0, 0, 210, 4, style="F")
        self.set_xy(_MARGIN, 10)
        _type(self, 9, _MUTED, "B")
        self.cell(_WIDTH / 2, 6, "FREEHOLD")
        _type(self, 9, _MUTED)
        label = f"{self.report['tenant']['slug']}  |  {self.report['period']}"
        self.cell(_WIDTH / 2, 6, latin(label), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.ln(4)

    def footer(self) -> None:
        self.set_y(-15)
        _type(self, 8, _MUTED)
        self.cell(_WIDTH / 2, 6, f"Usage known at {_moment(self.report['as_of'])}")
        self.cell(_WIDTH / 2, 6, f"Page {self.page_no()} of {{nb}}", align="R")


def usage_report_pdf(report: UsageReport) -> bytes:
    """Never fails on a name: what Latin-1 cannot show is transliterated (see billing.latin)."""
    pdf = _Document(report)
    pdf.add_page()
    _title(pdf, report)
    _table(pdf, report)
    _charts(pdf, report)
    return bytes(pdf.output())


def _title(pdf: FPDF, report: UsageReport) -> None:
    _type(pdf, 22, _INK, "B")
    pdf.cell(_WIDTH, 11, "Usage report", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    _type(pdf, 12, _INK)
    pdf.multi_cell(_WIDTH, 7, _fitted(pdf, report["tenant"]["name"], 2 * _WIDTH), new_x=XPos.LMARGIN)
    facts = (
        f"Period {_moment(report['period_from'])} to {_moment(report['period_to'])} (end excluded)",
        f"Rate card {report['rate_card']}, amounts in {report['currency']}",
    )
    _type(pdf, 9, _MUTED)
    for fact in facts:
        pdf.cell(_WIDTH, 5, _fitted(pdf, fact, _WIDTH), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(3)
    pdf.set_fill_color(*_BAND)
    pdf.rect(_MARGIN, pdf.get_y(), _WIDTH, 18, style="F")
    pdf.set_xy(_MARGIN + 5, pdf.get_y() + 3)
    _type(pdf, 9, _MUTED)
    pdf.cell(90, 12, "Estimated total for the period")
    _type(pdf, 18, _INK, "B")
    amount = f"{report['currency']} {_grouped(report['estimated_total'])}"
    pdf.cell(_WIDTH - 100, 12, amount, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(9)


def _table(pdf: FPDF, report: UsageReport) -> None:
    _type(pdf, 8, _MUTED, "B")
    _row(pdf, ("METER", "QUANTITY", f"AMOUNT ({report['currency']})"), rule=True)
    for meter in report["meters"]:
        _type(pdf, 10, _INK)
        quantity = f"{_grouped(meter['total'])} {_plural(meter['unit'], Decimal(meter['total']))}"
        _row(pdf, (meter["description"], quantity, _grouped(meter["amount"])), rule=not meter["groups"])
        _groups(pdf, meter)
    if not report["meters"]:
        _type(pdf, 10, _MUTED)
        _row(pdf, ("No usage in this period.", "", ""), rule=True)
    _type(pdf, 10, _INK)
    _row(pdf, ("Base fee", "", _grouped(report["base_fee"])), rule=True)
    _type(pdf, 10, _INK, "B")
    _row(pdf, ("Estimated total", "", _grouped(report["estimated_total"])), rule=False)
    pdf.ln(6)


def _groups(pdf: FPDF, meter: MeterReport) -> None:
    shown = meter["groups"][:_LONGEST_GROUP_LIST]
    hidden = len(meter["groups"]) - len(shown)
    _type(pdf, 8, _MUTED)
    for index, group in enumerate(shown):
        last = index == len(shown) - 1 and not hidden
        _row(
            pdf,
            (f"   {meter['grouped_by']}: {group['group']}", _grouped(group["value"]), ""),
            rule=last,
            height=5,
        )
    if hidden:
        _row(pdf, (f"   and {hidden} more, listed in the CSV", "", ""), rule=True, height=5)


def _row(pdf: FPDF, texts: tuple[str, str, str], *, rule: bool, height: float = 7) -> None:
    if pdf.will_page_break(height):
        pdf.add_page()
    for index, (text, width) in enumerate(zip(texts, _COLUMNS, strict=True)):
        pdf.cell(width, height, _fitted(pdf, text, width - 2), align="R" if index else "L")
    pdf.ln(height)
    if rule:
        pdf.set_draw_color(*_RULE)
        pdf.line(_MARGIN, pdf.get_y(), _MARGIN + _WIDTH, pdf.get_y())


def _charts(pdf: FPDF, report: UsageReport) -> None:
    meters = {meter["meter"]: meter for meter in report["meters"]}
    for key in [key for key in _CHARTED if key in meters][:_MOST_CHARTS]:
        days = [day for day in report["daily"] if day["meter"] == key]
        _chart(pdf, meters[key], days)


def _chart(pdf: FPDF, meter: MeterReport, days: list[DailyTotal], height: float = 26) -> None:
    """One bar per day so far, scaled to the largest, which is written above the chart."""
    if pdf.will_page_break(height + 16):
        pdf.add_page()
    values = [Decimal(day["value"]) for day in days]
    peak = max(values, default=Decimal(0))
    _type(pdf, 9, _INK, "B")
    pdf.cell(_WIDTH / 2, 6, latin(f"{meter['description']} per day"))
    _type(pdf, 8, _MUTED)
    highest = f"highest {_grouped(format(peak, 'f'))} {_plural(meter['unit'], peak)}"
    pdf.cell(_WIDTH / 2, 6, _fitted(pdf, highest, _WIDTH / 2), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    base = pdf.get_y() + height
    pitch = _WIDTH / 31
    pdf.set_fill_color(*_ACCENT)
    for index, value in enumerate(values):
        # Only the drawing is a float; every figure printed comes from the decimal.
        tall = float(value / peak) * height if peak else 0.0
        if tall:
            pdf.rect(_MARGIN + index * pitch + 0.6, base - tall, pitch - 1.2, tall, style="F")
    pdf.set_draw_color(*_RULE)
    pdf.line(_MARGIN, base, _MARGIN + _WIDTH, base)
    pdf.set_y(base + 1)
    for index, day in enumerate(days):
        if index % 5 == 0:
            pdf.set_x(_MARGIN + index * pitch)
            pdf.cell(pitch * 2, 4, day["date"][8:])
    pdf.set_xy(_MARGIN, base + 9)


def _type(pdf: FPDF, size: int, colour: tuple[int, int, int], style: str = "") -> None:
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


def _grouped(number: str) -> str:
    """`1234567.5` as `1,234,567.5`; at most four places, as the rest is noise on paper."""
    whole, _, places = number.partition(".")
    shown = places if len(places) <= 4 else format(Decimal(f"0.{places}"), ".4f")[2:]
    if len(places) > 4 and Decimal(f"0.{places}") >= Decimal("0.99995"):
        whole, shown = str(int(whole) + 1), ""
    return f"{int(whole):,}.{shown}" if shown else f"{int(whole):,}"


def _plural(unit: str, number: Decimal) -> str:
    return unit if number == 1 else f"{unit}s"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M} UTC"
