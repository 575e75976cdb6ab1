"""The fleet's report as a PDF."""

from decimal import Decimal

from fpdf.enums import XPos, YPos

from billing.paper.sheet import INK, MUTED, WIDTH, grouped, moment_text, row_draw, type_set
from billing.reports.fleet import FleetReport
from billing.reports.report_sheet import ReportSheet


def fleet_report_pdf(report: FleetReport) -> bytes:
    pdf = ReportSheet(
        title=f"Usage of all tenants {report['period']}",
        label=report["period"],
        generated_at=report["generated_at"],
        as_of=report["as_of"],
    )
    pdf.add_page()
    type_set(pdf, 22, INK, "B")
    pdf.cell(WIDTH, 11, "Usage of all tenants", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    type_set(pdf, 9, MUTED)
    span = f"Period {moment_text(report['period_from'])} to {moment_text(report['period_to'])} (end excluded)"
    pdf.cell(WIDTH, 6, span, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    pdf.ln(4)
    for total in report["totals"]:
        type_set(pdf, 14, INK, "B")
        tenants = f"{total['tenants']} tenant{'' if total['tenants'] == 1 else 's'}"
        row_draw(
            pdf,
            (tenants, "", f"{total['currency']} {grouped(total['estimated_total'])}"),
            rule=True,
            height=9,
        )
    pdf.ln(5)
    type_set(pdf, 8, MUTED, "B")
    row_draw(pdf, ("TENANT", "RUNS, SUCCESS", "ESTIMATED TOTAL"), rule=True)
    for row in report["tenants"]:
        type_set(pdf, 10, INK)
        rate = row["efficiency"]["success_rate"]
        runs = grouped(row["efficiency"]["runs"])
        shown = runs if rate is None else f"{runs}, {Decimal(rate) * 100:.1f} %"
        row_draw(
            pdf,
            (
                f"{row['name']} ({row['tenant']})",
                shown,
                f"{row['currency']} {grouped(row['estimated_total'])}",
            ),
            rule=True,
        )
    if not report["tenants"]:
        type_set(pdf, 10, MUTED)
        row_draw(pdf, ("No tenant in this period.", "", ""), rule=True)
    return bytes(pdf.output())
