"""The usage page, the invoice preview, their files and the shared page say one total, to the cent, and their rows add
up to it: with graduated prices, allowances, packages, discounts, fees and a minimum or a maximum in play."""

import csv
import io
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pypdf import PdfReader

from billing.metering.catalogue import METERS
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal.figures import money_text
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]

PRICES = [
    {
        "meter": "input_tokens",
        "model": "graduated",
        "per": "1000000",
        "included": "10007",
        "tiers": [
            {"up_to": "11111", "unit_price": "3.33"},
            {"up_to": "50021", "unit_price": "1.17", "flat": "0.37"},
            {"unit_price": "0.7777777"},
        ],
    },
    {"meter": "output_tokens", "unit_price": "7.77", "per": "1000", "included": "333"},
    {"meter": "cached_input_tokens", "model": "package", "unit_price": "0.05", "per": "7"},
    {"meter": "agent_runs", "unit_price": "0.0033333"},
    {"meter": "runtime_hours", "unit_price": "0.0712345"},
]
TERMS: dict[str, dict[str, Any]] = {
    "minimum": {
        "prices": PRICES,
        "fees": [{"key": "support", "description": "Support", "amount": "33.33"}],
        "discounts": [{"key": "launch", "percent": "3.7"}],
        "commitments": [{"key": "spend", "minimum": "7777.77"}],
    },
    "maximum": {"prices": PRICES, "commitments": [{"key": "cap", "maximum": "20.01"}]},
    "discount": {"prices": PRICES, "discounts": [{"key": "d", "amount": "1.11"}]},
    "plain": {"prices": PRICES},
}


@pytest.fixture(params=sorted(TERMS))
def month(request: Any, owner: Person, active: Active, monkeypatch: pytest.MonkeyPatch) -> datetime:
    """acme under awkward terms since the middle of its month, used, and the clock standing still."""
    changed = owner.api()("PATCH", "/tenants/acme/agreement", TERMS[request.param])
    assert changed.status_code == 200, changed.json()
    now = clock.now()
    events = [
        stories.model_call("acme", 100 + number, now, tokens=137 * number + 13) for number in range(1, 23)
    ]
    stories.used(active[0], [*events, stories.run_end("acme", 100, now)], now)
    later = now + timedelta(minutes=47, microseconds=12345)
    monkeypatch.setattr("controlplane.core.clock.now", lambda: later)
    return later


def test_all_pages_and_files_say_one_total_and_their_rows_add_up(
    owner: Person, browse: Browse, month: datetime
) -> None:
    client = browse(owner)
    usage, billing = client.get("/tenants/acme/usage/"), client.get("/tenants/acme/billing/")
    report, invoice = usage.context["report"], billing.context["invoice"]

    total = Decimal(invoice["total"])
    assert Decimal(report["estimated_total"]) == total
    assert sum(Decimal(line["amount"]) for line in invoice["lines"]) == total
    parts = [report["base_fee"], *(row["amount"] for row in (*report["meters"], *report["other_charges"]))]
    assert sum(map(Decimal, parts)) == total
    shown = Decimal(report["base_fee"]) + usage.context["usage_total"] + usage.context["other_total"]
    assert shown == total

    assert f"{month:%d %b %Y, %H:%M:%S} UTC" in Page(usage).text
    assert f"{month:%d %b %Y, %H:%M:%S} UTC" in Page(billing).text
    assert money_text(total) in Page(usage).text
    assert money_text(total) in Page(billing).text

    api = owner.api()
    assert api.get("/tenants/acme/usage-report").json()["estimated_total"] == str(total)
    assert api.get("/tenants/acme/invoice-preview").json()["total"] == str(total)
    assert api.get("/usage-report").json()["tenants"][0]["estimated_total"] == str(total)
    text = api.get("/tenants/acme/usage-report?format=csv").content.decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    amounts = [
        Decimal(row["amount"]) for row in rows if row["amount"] and row["row"] not in ("total", "previous")
    ]
    assert sum(amounts) == total == Decimal(rows[-1]["amount"])
    pdf = PdfReader(io.BytesIO(api.get("/tenants/acme/usage-report?format=pdf").content))
    written = "".join(page.extract_text() for page in pdf.pages)
    for row in report["other_charges"]:
        assert f"{Decimal(row['amount']):,.2f}" in written

    link = api.post("/tenants/acme/report-links", {}).json()["url"]
    shared = Page(Client().get("/shared/" + link.split("/shared/")[1]))
    assert money_text(total) in shared.text
    for row in report["other_charges"]:
        assert money_text(row["amount"]) in shared.text
        assert row["description"] in shared.text


@pytest.mark.parametrize("month", ["minimum"], indirect=True)
def test_what_is_no_meters_has_its_own_rows(owner: Person, browse: Browse, month: datetime) -> None:
    page = browse(owner).get("/tenants/acme/usage/")
    kinds = [row["kind"] for row in page.context["report"]["other_charges"]]

    assert {"base_fee", "discount", "minimum"} <= set(kinds)  # a monthly fee is of the base fee's kind
    text = Page(page).text
    for said in ("Support", "Discount of 3.7 %", "Minimum of", "Other charges"):
        assert said in text, said


def test_pages_opened_while_events_arrive_agree_by_their_stamps(
    owner: Person, browse: Browse, active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events come in between any two pages: those with one stamp say one total, and no page adds two moments up."""
    client, moment = browse(owner), clock.now()
    monkeypatch.setattr("controlplane.core.clock.now", lambda: moment)
    totals: list[tuple[Decimal, Decimal]] = []

    def arrive(number: int) -> None:
        stories.used(active[0], [stories.model_call("acme", 500 + number, moment, tokens=77_777)], moment)

    for number in range(4):
        arrive(number)
        moment += timedelta(seconds=30)
        with CaptureQueriesContext(connection) as queries:
            usage = client.get("/tenants/acme/usage/")
        read = [query for query in queries if "billing_usagerollup" in query["sql"]]
        assert len(read) == 1
        billing = client.get("/tenants/acme/billing/")
        report, invoice = usage.context["report"], billing.context["invoice"]
        stamp = f"{moment:%d %b %Y, %H:%M:%S} UTC"
        assert stamp in Page(usage).text
        assert stamp in Page(billing).text
        totals.append((Decimal(report["estimated_total"]), Decimal(invoice["total"])))
        for row in report["meters"]:
            if METERS[row["meter"]].adds_over_time:
                daily = (Decimal(day["value"]) for day in report["daily"] if day["meter"] == row["meter"])
                assert sum(daily) == pytest.approx(Decimal(row["total"]), abs=Decimal("1e-9")), row["meter"]
    assert all(shown == billed for shown, billed in totals)
    assert len(set(totals)) == len(totals), "each batch of events is in the next page"


def test_a_page_says_what_is_known_now(owner: Person, browse: Browse, active: Active) -> None:
    for path, shown in (("usage", "report"), ("billing", "invoice")):
        as_of = browse(owner).get(f"/tenants/acme/{path}/").context[shown]["as_of"]
        assert timedelta(0) <= clock.now() - datetime.fromisoformat(as_of) <= timedelta(seconds=60)
