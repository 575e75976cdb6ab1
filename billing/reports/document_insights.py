"""The report's figures beyond totals, on paper: efficiency, cost of a task, GPUs, the period before, who used what."""

from decimal import Decimal
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from billing.paper.sheet import INK, MUTED, WIDTH, grouped, row_draw, type_set
from billing.reports.selectors import Breakdown, UsageReport

_LONGEST: Final = 10


def insights_draw(pdf: FPDF, report: UsageReport) -> None:
    """Sections that have nothing to say are left out."""
    _section(pdf, "Efficiency and cost", _figures(report))
    for title, rows in (("By user", report["by_user"]), ("By agent", report["by_agent"])):
        _section(pdf, title, _groups(rows))


def _figures(report: UsageReport) -> list[tuple[str, str, str]]:
    found = report["efficiency"]
    currency = report["currency"]
    task, gpu, previous = report["cost_per_task"], report["gpu"], report["previous"]
    rows: list[tuple[str, str, str]] = []
    if found["success_rate"] is not None:
        rows.append(
            (
                "Runs that succeeded",
                f"{task['successful_runs']} of {found['runs']}",
                _percent(found["success_rate"]),
            )
        )
    if task["cost"] is not None:
        rows.append(("Cost of a successful run", "all charges", f"{currency} {grouped(task['cost'])}"))
    if found["tokens_per_run"] is not None:
        rows.append(("Tokens for a run", "", grouped(found["tokens_per_run"])))
    if found["cached_share"] is not None:
        rows.append(("Tokens read from the model's cache", "of those read", _percent(found["cached_share"])))
    if found["tool_calls_per_run"] is not None:
        rows.append(("Tool calls for a run", "", grouped(found["tool_calls_per_run"])))
    if gpu["busy_share"] is not None:
        hours = f"{grouped(gpu['busy'])} of {grouped(gpu['paid'])} hours"
        rows.append(("GPUs busy", hours, _percent(gpu["busy_share"])))
    if previous is not None:
        change = previous["change_percent"]
        shown = "" if change is None else f"{'+' if Decimal(change) > 0 else ''}{change} %"
        so_far = "" if previous["complete"] else ", compared with this one so far"
        total = f"{previous['currency']} {grouped(previous['estimated_total'])}"
        rows.append((f"The period before ({previous['period']}{so_far})", total, shown))
    return rows


def _groups(rows: list[Breakdown]) -> list[tuple[str, str, str]]:
    """The busiest first: by runs, then by tokens written."""

    def weight(row: Breakdown) -> tuple[Decimal, Decimal]:
        return tuple(-Decimal(row["meters"].get(meter, "0")) for meter in ("agent_runs", "output_tokens"))  # type: ignore[return-value]

    ordered = sorted(rows, key=lambda row: (*weight(row), row["group"]))
    shown = [
        (
            row["group"] or "(none)",
            f"{grouped(row['meters'].get('agent_runs', '0'))} runs",
            f"{grouped(row['meters'].get('output_tokens', '0'))} tokens written",
        )
        for row in ordered[:_LONGEST]
    ]
    if len(ordered) > _LONGEST:
        shown.append((f"and {len(ordered) - _LONGEST} more, listed in the CSV", "", ""))
    return shown


def _section(pdf: FPDF, title: str, rows: list[tuple[str, str, str]]) -> None:
    if not rows:
        return
    if pdf.will_page_break(24):
        pdf.add_page()
    type_set(pdf, 12, INK, "B")
    pdf.cell(WIDTH, 8, title, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
    for row in rows:
        type_set(pdf, 9, INK if row[1] or row[2] else MUTED)
        row_draw(pdf, row, rule=True, height=6)
    pdf.ln(5)


def _percent(share: str) -> str:
    return f"{Decimal(share) * 100:.2f} %"
