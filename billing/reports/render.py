"""A report in one of its forms, as a file."""

import json
from dataclasses import dataclass
from typing import Final

from billing.reports.fleet import FleetReport
from billing.reports.fleet_sheet import fleet_report_csv
from billing.reports.selectors import UsageReport
from billing.reports.sheet import usage_report_csv

FORMATS: Final = ("json", "csv", "pdf")


@dataclass(frozen=True)
class File:
    name: str
    content_type: str
    content: bytes


def usage_file(report: UsageReport, form: str) -> File:
    name = f"usage-{report['tenant']['slug']}-{report['period']}.{form}"
    if form == "csv":
        return File(name, "text/csv; charset=utf-8", usage_report_csv(report).encode())
    if form == "pdf":
        # Imported here: the PDF library takes a second to load, which every start would pay.
        from billing.reports.document import usage_report_pdf

        return File(name, "application/pdf", usage_report_pdf(report))
    return File(name, "application/json", json.dumps(report).encode())


def fleet_file(report: FleetReport, form: str) -> File:
    name = f"usage-{report['period']}.{form}"
    if form == "csv":
        return File(name, "text/csv; charset=utf-8", fleet_report_csv(report).encode())
    if form == "pdf":
        from billing.reports.fleet_document import fleet_report_pdf

        return File(name, "application/pdf", fleet_report_pdf(report))
    return File(name, "application/json", json.dumps(report).encode())
