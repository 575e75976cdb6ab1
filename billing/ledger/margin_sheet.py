"""The fleet's margin as CSV: a row for each tenant and currency, then the sums of each currency."""

import csv
import io
from typing import Final

from billing.ledger.fleet import FleetLines
from billing.ledger.margin import COST_KINDS, MarginLine
from billing.ledger.shapes import line_representation
from billing.reports.sheet import cell_safe

#: The name of the book that is no tenant's.
POOL: Final = "(fleet)"
HEADER: Final = (
    "row", "period", "tenant", "currency", "revenue", "not_invoiced", *COST_KINDS, "cost", "margin", "margin_percent",
    "idle_cost", "gpu_paid_hours", "gpu_busy_hours",
)  # fmt: skip


def margin_csv(found: FleetLines, *, period: str) -> str:
    """Exact figures, as the API gives them; a book is called by its label."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="")
    writer.writeheader()
    for each in found.lines:
        hours = {
            "gpu_paid_hours": f"{each.gpu.paid.normalize():f}",
            "gpu_busy_hours": f"{each.gpu.busy.normalize():f}",
        } if each.gpu else {}  # fmt: skip
        whose = cell_safe(each.label or POOL)
        writer.writerow({"row": "tenant", "period": period, "tenant": whose, **_cells(each.line), **hours})
    for line in found.totals:
        writer.writerow({"row": "total", "period": period, **_cells(line)})
    return out.getvalue()


def _cells(line: MarginLine) -> dict[str, str]:
    shown = line_representation(line)
    return {
        **{name: str(shown[name] or "") for name in HEADER if name in shown},  # type: ignore[literal-required]
        **shown["costs"],
    }
