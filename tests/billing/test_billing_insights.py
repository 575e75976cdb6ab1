"""What reports say beyond totals, and the report of several tenants."""

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from pypdf import PdfReader

from billing.directory import BilledCustomer
from billing.metering.gpu_time import gpu_time
from billing.metering.services import usage_ingest
from billing.metering.spans import spans_reconcile
from billing.metering.totals import MeterTotal
from billing.rating.cards import RateCard
from billing.reports.fleet import fleet_report
from billing.reports.insights import change_percent, comparison, cost_per_task, efficiency, gpu_hours
from billing.reports.render import fleet_file, usage_file
from billing.reports.selectors import usage_report
from contracts.stack import BillableResource
from contracts.usage import RUN_USAGE, TOOL_USAGE

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def _total(meter: str, value: int, **dimensions: str) -> MeterTotal:
    return MeterTotal(meter, tuple(sorted(dimensions.items())), Decimal(value))


USED = [
    _total("input_tokens", 300), _total("cached_input_tokens", 100), _total("output_tokens", 50),
    _total("tool_calls", 8), _total("agent_runs", 3, outcome="success"), _total("agent_runs", 1, outcome="error"),
]  # fmt: skip


def test_a_task_is_a_run_that_succeeded() -> None:
    found = cost_per_task(USED, amount=Decimal("10.00"), fees=Decimal("4.00"))
    assert found == {"successful_runs": "3", "cost": "3.333333", "usage_cost": "2"}
    assert cost_per_task([], amount=Decimal(10), fees=Decimal(4))["cost"] is None


def test_efficiency() -> None:
    assert efficiency(USED) == {
        "runs": "4", "success_rate": "0.75", "tokens": "450", "tokens_per_run": "112.5", "cached_share": "0.25",
        "tool_calls_per_run": "2",
    }  # fmt: skip
    assert set(efficiency([]).values()) == {"0", None}


def test_gpus_are_never_busier_than_they_were_paid() -> None:
    assert gpu_hours(Decimal(10), Decimal(4)) == {
        "paid": "10", "busy": "4", "idle": "6", "busy_share": "0.4",
    }  # fmt: skip
    assert gpu_hours(Decimal(1), Decimal(4))["idle"] == "0"
    assert gpu_hours(Decimal(0), Decimal(0))["busy_share"] is None


def test_changes() -> None:
    assert change_percent(Decimal(150), Decimal(100)) == "50"
    assert change_percent(Decimal(1), Decimal(3)) == "-66.67"
    assert change_percent(Decimal(1), Decimal(0)) is None
    found = comparison(
        period="2026-10", complete=False, currency="USD", total=Decimal("12.00"), previous_currency="EUR",
        previous_total=Decimal("10.00"), sums={"a": Decimal(1)}, previous_sums={"b": Decimal(2)},
    )  # fmt: skip
    assert (found["change"], found["change_percent"]) == (None, None), "euros are not compared with dollars"
    assert [(row["meter"], row["total"], row["previous"]) for row in found["meters"]] == [
        ("a", "1", "0"), ("b", "0", "2"),
    ]  # fmt: skip


def test_gpu_hours_are_busy_while_a_run_is_executed(
    tenant: Any, ingest: Any, event: Callable[..., Any]
) -> None:
    gpus = [BillableResource(meter="gpu_hours", slot=n, resource=f"gpu-{n}", dimensions={}) for n in range(2)]
    begun = NOW - 10 * HOUR
    spans_reconcile(tenant_id=tenant.id, resources=gpus, at=begun, operation_id=uuid4())
    hour_ms = 3_600_000
    ingest(
        event("1", begun + 2 * HOUR, RUN_USAGE, duration_ms=hour_ms),
        event("2", begun + 2.5 * HOUR, RUN_USAGE, duration_ms=hour_ms),  # half of it with the first
        event("3", begun + 0.5 * HOUR, RUN_USAGE, duration_ms=hour_ms),  # half of it before there was a GPU
        event("4", begun + 5 * HOUR, TOOL_USAGE, duration_ms=hour_ms),
    )
    busy = gpu_time(tenant_id=tenant.id, start=NOVEMBER, end=NOW, as_of=NOW).busy
    assert busy == 2 * Decimal("2"), "two hours, on each of two GPUs"
    assert gpu_time(tenant_id=uuid4(), start=NOVEMBER, end=NOW, as_of=NOW).busy == 0


def test_the_report_tells_them_and_its_files_do_too(
    tenant: Any, ingest: Any, event: Callable[..., Any], card: RateCard
) -> None:
    ingest(
        event("m", NOW - HOUR, input_tokens=300, cached_input_tokens=100, output_tokens=50),
        *(event(f"r{n}", NOW - HOUR, RUN_USAGE, outcome="error" if n == 3 else "success") for n in range(4)),
    )
    report = usage_report(tenant=tenant, period="2026-11", card=card, as_of=NOW)
    assert report["efficiency"]["success_rate"] == "0.75"
    total = Decimal(report["estimated_total"])
    assert abs(Decimal(report["cost_per_task"]["cost"] or 0) * 3 - total) < Decimal("0.0001")
    assert report["previous"] is not None
    assert (report["previous"]["period"], report["previous"]["complete"]) == ("2026-10", False)
    assert report["previous"]["estimated_total"] == "499.00"
    rows = list(csv.DictReader(io.StringIO(usage_file(report, "csv").content.decode())))
    figures = {(row["row"], row["description"]): row["value"] for row in rows}
    assert figures["efficiency", "success_rate"] == "0.75"
    assert [row["amount"] for row in rows if row["row"] == "previous"] == ["499.00"]
    text = "".join(
        page.extract_text() for page in PdfReader(io.BytesIO(usage_file(report, "pdf").content)).pages
    )
    assert "75.00 %" in text
    assert "Cost of a successful run" in text


def test_a_tenant_that_was_not_there_is_not_compared(db: None, card: RateCard) -> None:
    customer = _customer("new", card, created=NOW - HOUR)
    report = usage_report(tenant=customer, period="2026-11", card=card, as_of=NOW)
    assert report["previous"] is None


def _customer(slug: str, card: RateCard, currency: str = "USD", **fields: Any) -> BilledCustomer:
    body = {**card.model_dump(mode="json"), "currency": currency}
    created = fields.get("created", datetime(2026, 1, 1, tzinfo=UTC))
    return BilledCustomer(uuid4(), uuid4(), slug, f"=The {slug}", created, fields.get("ended"), "", body)


@pytest.fixture
def fleet(db: None, card: RateCard, event: Callable[..., Any]) -> list[BilledCustomer]:
    found = [
        _customer("acme", card),
        _customer("globex", card),
        _customer("euro", card, "EUR"),
        _customer("gone", card, ended=NOVEMBER - HOUR),
    ]
    for customer in found[:3]:
        events = [
            {**event(f"{customer.slug}{n}", NOW - HOUR, RUN_USAGE), "subject": customer.slug,
             "source": f"/tenants/{customer.slug}/runtime/0"}
            for n in range(50 if customer.slug == "globex" else 5)
        ]  # fmt: skip
        usage_ingest(tenant_id=customer.id, subject=customer.slug, events=events, received_at=NOW)
    return found


def test_each_row_of_the_fleet_is_the_tenants_own_report(fleet: list[BilledCustomer]) -> None:
    report = fleet_report(customers=fleet, period="2026-11", as_of=NOW)
    assert [row["tenant"] for row in report["tenants"]] == ["euro", "globex", "acme"], (
        "by currency, then cost"
    )
    for row in report["tenants"]:
        customer = next(each for each in fleet if each.slug == row["tenant"])
        own = usage_report(tenant=customer, period="2026-11", card=customer.fallback, as_of=NOW)
        assert row["estimated_total"] == own["estimated_total"]
        assert (row["efficiency"], row["cost_per_task"]) == (own["efficiency"], own["cost_per_task"])
        assert row["previous_total"] == own["previous"]["estimated_total"]  # type: ignore[index]
    assert report["efficiency"]["runs"] == "60"
    assert {meter["meter"]: meter["total"] for meter in report["meters"]}["agent_runs"] == "60"


def test_currencies_are_not_added_up(fleet: list[BilledCustomer]) -> None:
    report = fleet_report(customers=fleet, period="2026-11", as_of=NOW)
    assert [(row["currency"], row["tenants"]) for row in report["totals"]] == [("EUR", 1), ("USD", 2)]
    dollars = [Decimal(row["estimated_total"]) for row in report["tenants"] if row["currency"] == "USD"]
    assert Decimal(report["totals"][1]["estimated_total"]) == sum(dollars)


def test_the_fleets_files(fleet: list[BilledCustomer]) -> None:
    report = fleet_report(customers=fleet, period="2026-11", as_of=NOW)
    rows = list(csv.DictReader(io.StringIO(fleet_file(report, "csv").content.decode())))
    assert [row["row"] for row in rows] == ["tenant", "tenant", "tenant", "total", "total"]
    assert rows[0]["name"] == "'=The euro", "no formula"
    document = fleet_file(report, "pdf").content
    text = PdfReader(io.BytesIO(document)).pages[0].extract_text()
    assert report["totals"][1]["estimated_total"] in text
    assert document == fleet_file(report, "pdf").content
    empty = fleet_report(customers=[], period="2026-11", as_of=NOW)
    assert fleet_file(empty, "pdf").content.startswith(b"%PDF-")
