"""The usage report as a PDF: one or more A4 pages a customer can be sent."""

from decimal import Decimal
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.paper.sheet import (
    ACCENT,
    BAND,
    INK,
    MARGIN,
    MUTED,
    RULE,
    WIDTH,
    fitted,
    grouped,
    moment_text,
    plural,
    row_draw,
    type_set,
)
from billing.reports.document_insights import insights_draw
from billing.reports.report_sheet import ReportSheet
from billing.reports.selectors import DailyTotal, MeterReport, UsageReport

#: Charts are drawn for these, where they saw usage; more would repeat each other.
_CHARTED: Final = ("input_tokens", "output_tokens", "agent_runs", "tool_calls", "gpu_hours")
_MOST_CHARTS: Final = 3
_LONGEST_GROUP_LIST: Final = 12


def usage_report_pdf(report: UsageReport) -> bytes:
    """Never fails on a name: letters that the typeface lacks are replaced (billing/paper/letters.py)."""
    tenant = report["tenant"]["slug"]
    pdf = ReportSheet(
        title=f"Usage report {tenant} {report['period']}",
        label=f"{tenant}  |  {report['period']}",
        generated_at=report["generated_at"],
        as_of=report["as_of"],
    )
    pdf.add_page()
    _title(pdf, report)
    _table(pdf, report)
    insights_draw(pdf, report)
    _charts(pdf, report)
    return bytes(pdf.output())


def _title(pdf: FPDF, report: UsageReport) -> None:
    type_set(pdf, 22, INK, "B")
    pdf.cell(WIDTH, 11, "Usage report", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    type_set(pdf, 12, INK)
    pdf.multi_cell(WIDTH, 7, fitted(pdf, report["tenant"]["name"], 2 * WIDTH), new_x=XPos.LMARGIN)
    facts = (
        f"Period {moment_text(report['period_from'])} to {moment_text(report['period_to'])} (end excluded)",
        f"Rate card {report['rate_card']}, amounts in {report['currency']}",
    )
    type_set(pdf, 9, MUTED)
    for fact in facts:
        pdf.cell(WIDTH, 5, fitted(pdf, fact, WIDTH), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(3)
    pdf.set_fill_color(*BAND)
    pdf.rect(MARGIN, pdf.get_y(), WIDTH, 18, style="F")
    pdf.set_xy(MARGIN + 5, pdf.get_y() + 3)
    type_set(pdf, 9, MUTED)
    pdf.cell(90, 12, "Estimated total for the period")
    type_set(pdf, 18, INK, "B")
    amount = f"{report['currency']} {grouped(report['estimated_total'])}"
    pdf.cell(WIDTH - 100, 12, amount, align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(9)


def _table(pdf: FPDF, report: UsageReport) -> None:
    type_set(pdf, 8, MUTED, "B")
    row_draw(pdf, ("METER", "QUANTITY", f"AMOUNT ({report['currency']})"), rule=True)
    for meter in report["meters"]:
        type_set(pdf, 10, INK)
        quantity = f"{grouped(meter['total'])} {plural(meter['unit'], Decimal(meter['total']))}"
        row_draw(pdf, (meter["description"], quantity, grouped(meter["amount"])), rule=not meter["groups"])
        _groups(pdf, meter)
    if not report["meters"]:
        type_set(pdf, 10, MUTED)
        row_draw(pdf, ("No usage in this period.", "", ""), rule=True)
    type_set(pdf, 10, INK)
    row_draw(pdf, ("Base fee", "", grouped(report["base_fee"])), rule=True)
    for each in report["other_charges"]:
        row_draw(pdf, (each["description"], "", grouped(each["amount"])), rule=True)
    type_set(pdf, 10, INK, "B")
    row_draw(pdf, ("Estimated total", "", grouped(report["estimated_total"])), rule=False)
    pdf.ln(6)


def _groups(pdf: FPDF, meter: MeterReport) -> None:
    shown = meter["groups"][:_LONGEST_GROUP_LIST]
    hidden = len(meter["groups"]) - len(shown)
    type_set(pdf, 8, MUTED)
    for index, group in enumerate(shown):
        last = index == len(shown) - 1 and not hidden
        row_draw(
            pdf,
            (f"   {meter['grouped_by']}: {group['group']}", grouped(group["value"]), ""),
            rule=last,
            height=5,
        )
    if hidden:
        row_draw(pdf, (f"   and {hidden} more, listed in the CSV", "", ""), rule=True, height=5)


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
    type_set(pdf, 9, INK, "B")
    pdf.cell(WIDTH / 2, 6, fitted(pdf, f"{meter['description']} per day", WIDTH / 2))
    type_set(pdf, 8, MUTED)
    highest = f"highest {grouped(format(peak, 'f'))} {plural(meter['unit'], peak)}"
    pdf.cell(WIDTH / 2, 6, fitted(pdf, highest, WIDTH / 2), align="R", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    base = pdf.get_y() + height
    pitch = WIDTH / 31
    pdf.set_fill_color(*ACCENT)
    for index, value in enumerate(values):
        # Only the drawing is a float; every figure printed comes from the decimal.
        tall = float(value / peak) * height if peak else 0.0
        if tall:
            pdf.rect(MARGIN + index * pitch + 0.6, base - tall, pitch - 1.2, tall, style="F")
    pdf.set_draw_color(*RULE)
    pdf.line(MARGIN, base, MARGIN + WIDTH, base)
    pdf.set_y(base + 1)
    for index, day in enumerate(days):
        if index % 5 == 0:
            pdf.set_x(MARGIN + index * pitch)
            pdf.cell(pitch * 2, 4, day["date"][8:])
    pdf.set_xy(MARGIN, base + 9)
