"""The query, the report, its CSV and PDF, and the invoice preview tell one story."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from billing.invoicing.selectors import invoice_preview
from billing.metering.catalogue import METERS
from billing.metering.selectors import meters_list, usage_query
from billing.metering.spans import spans_reconcile
from billing.paper.letters import known, shown
from billing.period import period_parse
from billing.rating.cards import RateCard
from billing.reports.document import usage_report_pdf
from billing.reports.selectors import UsageReport, usage_report
from billing.reports.sheet import HEADER, usage_report_csv
from contracts.stack import BillableResource
from contracts.usage import RUN_USAGE, STORAGE_USAGE, TOOL_USAGE
from controlplane.core.errors import ValidationFailed

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def used(tenant: Any, ingest: Any, event: Callable[..., Any]) -> Any:
    """A tenant with some of everything."""
    events = [event("x", NOVEMBER, STORAGE_USAGE, component="postgres", bytes=10**10)]
    for number in range(40):
        time = NOVEMBER + number * DAY / 2
        agent = "support" if number % 3 else "=cmd()"
        model = "m-1" if number % 2 else "m-2"
        events += [
            event(f"m{number}", time, agent=agent, model=model, input_tokens=1234 * number, output_tokens=99),
            event(f"t{number}", time, TOOL_USAGE, agent=agent, cached=number % 4 == 0),
            event(f"r{number}", time, RUN_USAGE, agent=agent, outcome="error" if number == 7 else "success"),
        ]
    ingest(*events)
    gpu = BillableResource(meter="gpu_hours", slot=0, resource="gpu-0", dimensions={"model": "H100"})
    spans_reconcile(tenant_id=tenant.id, resources=[gpu], at=NOW - DAY, operation_id=uuid4())
    return tenant


def _report(tenant: Any, card: RateCard, period: str = "2026-11") -> UsageReport:
    return usage_report(tenant=tenant, period=period, card=card, as_of=NOW)


def _preview(tenant: Any, card: RateCard) -> Any:
    return invoice_preview(customer=tenant, card=card, period=period_parse("2026-11"), as_of=NOW)


def _query(tenant: Any, **changes: Any) -> Any:
    usual = {"meter": "input_tokens", "start": NOVEMBER, "end": NOVEMBER + 30 * DAY, "as_of": NOW}
    return usage_query(tenant_id=tenant.id, **{**usual, **changes})


def test_windows_and_groups_partition_the_total(used: Any) -> None:
    total = sum(1234 * number for number in range(40))
    for window in ("hour", "day", "month"):
        for group_by in (None, "model", "agent"):
            answer = _query(used, window=window, group_by=group_by)
            assert sum(Decimal(row["value"]) for row in answer["results"]) == total
    assert _query(used, window="month", group_by="model") == {
        "meter": "input_tokens",
        "unit": "token",
        "window": "month",
        "results": [
            {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "group": name, "value": str(value)}
            for name, value in (("m-1", 493600), ("m-2", 468920))
        ],
    }


def test_local_days_are_exact_where_offsets_are_not_whole_hours(tenant: Any, ingest: Any, event: Any) -> None:
    """Midnight in Kathmandu is 18:15 UTC: these two events are on different days there."""
    before = event("1", datetime(2026, 11, 9, 18, 14, 59, tzinfo=UTC), input_tokens=1)
    after = event("2", datetime(2026, 11, 9, 18, 15, tzinfo=UTC), input_tokens=2)
    ingest(before, after)
    rows = _query(tenant, timezone="Asia/Kathmandu")["results"]
    assert [(row["from"], row["value"]) for row in rows] == [
        ("2026-11-08T18:15:00Z", "1"),
        ("2026-11-09T18:15:00Z", "2"),
    ]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"meter": "nope"}, "/meter"),
        ({"group_by": "tool"}, "/group_by"),
        ({"window": "week"}, "/window"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"end": NOVEMBER}, "/to"),
    ],
)
def test_a_wrong_query_names_the_field(db: None, tenant: Any, changes: Any, pointer: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        _query(tenant, **changes)
    assert caught.value.errors[0]["pointer"] == pointer


def test_preview_has_the_shape_of_an_invoice(used: Any, card: RateCard) -> None:
    preview = _preview(used, card)
    assert preview == _preview(used, card), "the same each time, ids too"
    assert (preview["number"], preview["state"], preview["currency"]) == (None, "draft", "USD")
    assert preview["period"] == {"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z"}
    assert preview["lines"][0]["meter"] == "base_fee"
    assert sum(Decimal(line["amount"]) for line in preview["lines"]) == Decimal(preview["total"])
    assert len({line["id"] for line in preview["lines"]}) == len(preview["lines"])
    by_meter = {line["meter"]: line for line in preview["lines"]}
    assert by_meter["gpu_hours"]["quantity"] == "24"
    assert by_meter["gpu_hours"]["amount"] == "59.52"
    assert by_meter["tool_calls"]["quantity"] == "30", "answers from the cache are not charged by this card"
    for line in preview["lines"]:
        exact = Decimal(line["quantity"]) * Decimal(line["unit_price"])
        assert abs(exact - Decimal(line["amount"])) < Decimal("0.01")


def test_without_usage_the_base_fee_remains(db: None, tenant: Any, card: RateCard) -> None:
    preview = _preview(tenant, card)
    assert [line["meter"] for line in preview["lines"]] == ["base_fee"]
    assert preview["total"] == "499.00"


def test_report_and_preview_agree(used: Any, card: RateCard) -> None:
    report, preview = _report(used, card), _preview(used, card)
    assert report["estimated_total"] == preview["total"]
    amounts = [Decimal(meter["amount"]) for meter in report["meters"]]
    assert sum(amounts) + Decimal(report["base_fee"]) == Decimal(report["estimated_total"])
    json.dumps(report)


def test_report_breaks_down_without_losing_anything(used: Any, card: RateCard) -> None:
    report = _report(used, card)
    for meter in report["meters"]:
        total = Decimal(meter["total"])
        assert sum(Decimal(group["value"]) for group in meter["groups"]) == total
        daily = [Decimal(day["value"]) for day in report["daily"] if day["meter"] == meter["meter"]]
        if METERS[meter["meter"]].adds_over_time:
            assert abs(sum(daily) - total) < Decimal("1e-9")
        else:
            assert max(daily) <= total
    assert [row["group"] for row in report["by_agent"]] == ["=cmd()", "support"]
    assert [row["group"] for row in report["by_model"]] == ["m-1", "m-2"]
    assert {row["group"]: row["meters"] for row in report["by_outcome"]} == {
        "error": {"agent_runs": "1", "failed_runs": "1"},
        "success": {"agent_runs": "39"},
    }
    days = [day["date"] for day in report["daily"] if day["meter"] == "agent_runs"]
    assert days == [f"2026-11-{number:02}" for number in range(1, 22)]


def test_a_wrong_period_names_the_field(db: None, tenant: Any, card: RateCard) -> None:
    with pytest.raises(ValidationFailed) as caught:
        _report(tenant, card, "November")
    assert caught.value.errors[0]["pointer"] == "/period"


def test_csv_reads_back_and_holds_no_formula(used: Any, card: RateCard) -> None:
    report = _report(used, card)
    rows = list(csv.DictReader(io.StringIO(usage_report_csv(report))))
    assert tuple(rows[0]) == HEADER
    figures = {"efficiency", "cost_per_task", "gpu", "previous"}
    assert {row["row"] for row in rows} == {"meter", "group", "day", "user", "base_fee", "total"} | figures
    assert rows[-1]["amount"] == report["estimated_total"]
    meters = [row for row in rows if row["row"] in ("meter", "base_fee")]
    assert sum(Decimal(row["amount"]) for row in meters) == Decimal(report["estimated_total"])
    groups = {row["group"] for row in rows if row["meter"] == "agent_runs"}
    assert "'=cmd()" in groups
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]


def test_pdf_reads_back(used: Any, card: RateCard) -> None:
    report = _report(used, card)
    document = usage_report_pdf(report)
    assert document.startswith(b"%PDF-")
    reader = PdfReader(io.BytesIO(document))
    text = "".join(page.extract_text() for page in reader.pages)
    assert "Acme" in text
    assert f"Page 1 of {len(reader.pages)}" in text
    assert report["estimated_total"] in text
    assert "Agent runs" in text
    assert document == usage_report_pdf(report), "the same report gives the same bytes"


@pytest.fixture
def empty_report(db: None, tenant: Any, card: RateCard) -> UsageReport:
    return _report(tenant, card)


@pytest.mark.parametrize(
    "name", ["", "株式会社", "🏴‍☠️", "a\nb\tc\0", "\ud800", "Łódź — “Äpfel”", "W" * 5000, "**__--"]
)
def test_pdf_survives_any_name(db: None, tenant: Any, card: RateCard, name: str) -> None:
    report = _report(replace(tenant, name=name), card)
    assert usage_report_pdf(report).startswith(b"%PDF-")


def test_pdf_of_many_groups_and_huge_figures(db: None, empty_report: UsageReport) -> None:
    groups = [
        {"group": f"g{number} " + "x" * 200, "value": "9" * 30 + ".999999999999"} for number in range(60)
    ]
    meter = {
        "meter": "input_tokens", "unit": "token", "description": "d", "total": "9" * 30 + ".5", "grouped_by": "model",
        "groups": groups, "amount": "9" * 20 + ".99",
    }  # fmt: skip
    daily = [{"date": "2026-11-01", "meter": "input_tokens", "value": "0"}]
    report = {**empty_report, "meters": [meter] * 20, "daily": daily}
    reader = PdfReader(io.BytesIO(usage_report_pdf(report)))  # type: ignore[arg-type]
    assert len(reader.pages) > 3
    assert "and 48 more, listed in the CSV" in reader.pages[0].extract_text()


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_shown_is_always_in_the_typeface(text: str) -> None:
    assert all(ord(character) in known() and character.isprintable() for character in shown(text))


def test_letters_keep_what_can_be_read() -> None:
    names = "Łódź — “Äpfel” … Ελλάς, Київ, Đặng €5"
    assert shown(names) == names
    assert shown("line\nbreak\u200b, 東京 and \ufb01ne") == "line break, ?? and fine"


def test_meters_are_listed() -> None:
    keys = [meter["key"] for meter in meters_list()]
    assert keys[0] == "input_tokens"
    assert keys == list(METERS)
