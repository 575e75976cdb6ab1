"""The fleet's margin as CSV: a row for each tenant and currency, then the sums of each currency."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from billing.ledger.margin import COST_KINDS, Margin, MarginLine
from billing.ledger.shapes import line_representation
from billing.reports.sheet import cell_safe

#: The name of the book that is no tenant's.
POOL: Final = "(fleet)"
HEADER: Final = (
    "row", "period", "tenant", "currency", "revenue", "not_invoiced", *COST_KINDS, "cost", "margin", "margin_percent",
    "idle_cost", "gpu_paid_hours", "gpu_busy_hours",
)  # fmt: skip


def margin_csv(
    rows: Iterable[Margin], totals: Iterable[MarginLine], *, slugs: Mapping[UUID, str], period: str
) -> str:
    """Exact figures, as the API gives them."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="")
    writer.writeheader()
    for margin in rows:
        hours = {
            "gpu_paid_hours": f"{margin.gpu.paid.normalize():f}",
            "gpu_busy_hours": f"{margin.gpu.busy.normalize():f}",
        } if margin.gpu else {}  # fmt: skip
        for line in margin.lines:
            whose = cell_safe(slugs.get(margin.book_id, POOL))
            writer.writerow({"row": "tenant", "period": period, "tenant": whose, **_cells(line), **hours})
    for line in totals:
        writer.writerow({"row": "total", "period": period, **_cells(line)})
    return out.getvalue()


def _cells(line: MarginLine) -> dict[str, str]:
    shown = line_representation(line)
    return {
        **{name: str(shown[name] or "") for name in HEADER if name in shown},  # type: ignore[literal-required]
        **shown["costs"],
    }
