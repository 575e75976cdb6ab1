"""The fleet's report as CSV: a row for each tenant, then the totals of each currency."""

import csv
import io

from billing.reports.fleet import FleetReport
from billing.reports.sheet import cell_safe

HEADER = (
    "row", "period", "tenant", "name", "currency", "base_fee", "estimated_total", "previous_total",
    "change_percent", "runs", "success_rate", "cost_per_task", "tokens", "tokens_per_run", "cached_share",
    "tool_calls_per_run", "gpu_paid_hours", "gpu_busy_hours",
)  # fmt: skip


def fleet_report_csv(report: FleetReport) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="")
    writer.writeheader()
    for row in report["tenants"]:
        found, gpu = row["efficiency"], row["gpu"]
        cells = {
            "row": "tenant",
            "period": report["period"],
            "tenant": row["tenant"],
            "name": row["name"],
            "currency": row["currency"],
            "base_fee": row["base_fee"],
            "estimated_total": row["estimated_total"],
            "previous_total": row["previous_total"],
            "change_percent": row["change_percent"],
            "runs": found["runs"],
            "success_rate": found["success_rate"],
            "cost_per_task": row["cost_per_task"]["cost"],
            "tokens": found["tokens"],
            "tokens_per_run": found["tokens_per_run"],
            "cached_share": found["cached_share"],
            "tool_calls_per_run": found["tool_calls_per_run"],
            "gpu_paid_hours": gpu["paid"],
            "gpu_busy_hours": gpu["busy"],
        }
        numbers = {"change_percent"}  # of ours, and may begin with a minus
        writer.writerow(
            {
                name: (value or "") if name in numbers else cell_safe(value or "")
                for name, value in cells.items()
            }
        )
    for total in report["totals"]:
        writer.writerow(
            {
                "row": "total",
                "period": report["period"],
                "currency": total["currency"],
                "estimated_total": total["estimated_total"],
            }
        )
    return out.getvalue()
