"""The usage report as CSV (RFC 4180), one table that spreadsheets can filter by `row`."""

import csv
import io

from billing.reports.selectors import UsageReport

HEADER = (
    "row",
    "tenant",
    "period",
    "meter",
    "description",
    "group",
    "date",
    "value",
    "unit",
    "amount",
    "currency",
)
#: A cell that begins like this is a formula to spreadsheets, whoever wrote the name in it.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def usage_report_csv(report: UsageReport) -> str:
    """Rows are `meter` (its total and amount), `group`, `day`, `user`, `base_fee`, those of other charges by their kind
    (such as `discount` and `minimum`) and `total`, and single figures: `efficiency`, `cost_per_task`, `gpu`,
    `previous`. Amounts of meters, base fee and other charges add up to the total."""
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER, restval="")
    writer.writeheader()
    for row in _rows(report):
        shared = {
            "tenant": report["tenant"]["slug"],
            "period": report["period"],
            "currency": report["currency"],
        }
        writer.writerow(
            # Amounts are numbers of ours, and may begin with a minus.
            {name: text if name == "amount" else cell_safe(text) for name, text in {**shared, **row}.items()}
        )
    return out.getvalue()


def _rows(report: UsageReport) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    units = {meter["meter"]: meter["unit"] for meter in report["meters"]}
    for meter in report["meters"]:
        about = {"meter": meter["meter"], "description": meter["description"], "unit": meter["unit"]}
        rows.append({"row": "meter", **about, "value": meter["total"], "amount": meter["amount"]})
        rows += [
            {"row": "group", **about, "group": group["group"], "value": group["value"]}
            for group in meter["groups"]
        ]
    rows += [
        {
            "row": "day",
            "meter": day["meter"],
            "date": day["date"],
            "value": day["value"],
            "unit": units[day["meter"]],
        }
        for day in report["daily"]
    ]
    rows += [
        {"row": "user", "meter": meter, "group": user["group"], "value": value, "unit": units.get(meter, "")}
        for user in report["by_user"]
        for meter, value in user["meters"].items()
    ]
    rows += _insights(report)
    rows.append({"row": "base_fee", "description": "Base fee", "amount": report["base_fee"]})
    rows += [
        {"row": each["kind"], "description": each["description"], "amount": each["amount"]}
        for each in report["other_charges"]
    ]
    rows.append({"row": "total", "description": "Estimated total", "amount": report["estimated_total"]})
    return rows


def _insights(report: UsageReport) -> list[dict[str, str]]:
    """Figures with a value; the ones that there was nothing for are left out."""
    named = (
        *(("efficiency", name, value) for name, value in report["efficiency"].items()),
        *(("cost_per_task", name, value) for name, value in report["cost_per_task"].items()),
        *(("gpu", name, value) for name, value in report["gpu"].items()),
    )
    rows = [
        {"row": row, "description": name, "value": value}
        for row, name, value in named
        if isinstance(value, str)
    ]
    previous = report["previous"]
    if previous is not None:
        rows.append(
            {
                "row": "previous",
                "description": f"Total of {previous['period']}",
                "date": previous["period"],
                "amount": previous["estimated_total"],
                "currency": previous["currency"],
            }
        )
    return rows


def cell_safe(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
