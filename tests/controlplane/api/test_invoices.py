"""/api/v1/invoices, credit notes and closes: for the three people, once per key, in every format."""

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pypdf import PdfReader

from billing.invoicing.close import period_close
from billing.invoicing.models import Invoice, TenantClose
from billing.invoicing.tasks import period_closes_task
from billing.metering.services import usage_ingest
from billing.period import month_start
from contracts.invoice_chain import chain_verify
from contracts.usage import MODEL_USAGE
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.support.people import ApiClient, Person, person_make

Acme = tuple[Tenant, Operation]
Body = dict[str, Any]


@pytest.fixture
def last_month() -> datetime:
    """Its start."""
    return month_start(month_start(clock.now()) - timedelta(days=1))


@pytest.fixture
def used(acme: Acme, last_month: datetime) -> Tenant:
    """A tenant that lived through the last month and used a million tokens in it."""
    tenant, _ = acme
    Tenant.objects.filter(pk=tenant.pk).update(created_at=last_month - timedelta(days=40))
    event = {
        "specversion": "1.0", "id": "1", "source": "/tenants/acme/runtime/r0", "type": MODEL_USAGE,
        "subject": "acme", "time": (last_month + timedelta(days=3)).isoformat(),
        "data": {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": "m", "output_tokens": 1_000_000},
    }  # fmt: skip
    at = last_month + timedelta(days=4)
    assert usage_ingest(tenant_id=tenant.pk, subject="acme", events=[event], received_at=at).accepted == 1
    return tenant


@pytest.fixture
def draft(used: Tenant, owner: Person, last_month: datetime) -> Body:
    answer = owner.api().post("/invoices", {"tenant": "acme", "period": f"{last_month:%Y-%m}"})
    assert answer.status_code == 201
    return dict(answer.json())


@pytest.fixture
def invoice(draft: Body, owner: Person) -> Body:
    return dict(owner.api().post(f"/invoices/{draft['id']}/finalize").json())


def test_from_draft_to_paid(draft: Body, owner: Person) -> None:
    api, path = owner.api(), f"/invoices/{draft['id']}"
    assert (draft["state"], draft["number"], draft["tenant"]) == ("draft", None, "acme")
    final = api.post(f"{path}/finalize").json()
    assert (final["state"], final["number"]) == ("finalized", "INV-000001")
    assert final["amount_due"] == final["total"] == draft["total"]
    assert api.post(f"{path}/finalize").json()["code"] == "invoice_not_draft"
    refused = api.post(f"{path}/pay")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/reference")
    assert api.post(f"{path}/pay", {"reference": "bank 1", "amount": "0.01"}).status_code == 422
    paid = api.post(f"{path}/pay", {"reference": "bank 1"}).json()
    assert (paid["state"], paid["amount_due"], paid["payment_reference"]) == ("paid", "0.00", "bank 1")
    assert api.post(f"{path}/void", {"reason": "x"}).status_code == 409
    listed = api.get("/invoices?tenant=acme&state=paid").json()["results"]
    assert [row["id"] for row in listed] == [draft["id"]]
    assert api.get("/invoices?state=draft").json()["results"] == []
    assert api.get("/invoices?state=lost").status_code == 422


def test_the_preview_has_the_id_of_the_invoice(invoice: Body, owner: Person) -> None:
    preview = owner.api().get(f"/tenants/acme/invoice-preview?period={invoice['period']['from'][:7]}").json()
    assert preview["id"] == invoice["id"]
    assert preview["total"] == invoice["subtotal"]


def test_an_idempotency_key_gets_the_stored_answer(draft: Body, owner: Person) -> None:
    api, path = owner.api(), f"/invoices/{draft['id']}/finalize"
    first = api.post(path, headers={"idempotency-key": "k"})
    again = api.post(path, headers={"idempotency-key": "k"})
    assert (first.status_code, again.json()) == (200, first.json())


def test_void_give_up_settle_and_credit(invoice: Body, owner: Person) -> None:
    api, path = owner.api(), f"/invoices/{invoice['id']}"
    settled = api.post(f"{path}/settle").json()["settlement"]
    assert (settled["state"], settled["net"]) == ("unchanged", "0.00")
    credited = api.post(f"{path}/credit", {"amount": "1.00", "reason": "outage"}).json()
    assert credited["credit_note"]["number"] == "CN-000001"
    assert api.get("/credit-notes?tenant=acme").json()["results"][0]["total"] == "1.00"
    given_up = api.post(f"{path}/mark-uncollectible", {"reason": "insolvent"}).json()
    assert (given_up["state"], given_up["state_reason"]) == ("uncollectible", "insolvent")
    assert api.post(f"{path}/void", {"reason": "x"}).json()["code"] == "invoice_credited"
    assert api.post(f"{path}/explode").status_code == 404


def test_files(invoice: Body, owner: Person) -> None:
    api, path = owner.api(), f"/invoices/{invoice['id']}"
    pdf = api.get(f"{path}.pdf")
    assert (pdf.headers["Content-Type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    text = "".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf.content)).pages)
    assert "INV-000001" in text
    assert invoice["fingerprint"] in text
    rows = list(csv.DictReader(io.StringIO(api.get(f"{path}.csv").content.decode())))
    assert [row["amount"] for row in rows] == [line["amount"] for line in invoice["lines"]]
    focus = list(csv.DictReader(io.StringIO(api.get(f"{path}.csv?format=focus").content.decode())))
    assert {row["InvoiceId"] for row in focus} == {"INV-000001"}
    export = api.get(f"{path}/export")
    lines = b"".join(export.streaming_content).decode().splitlines()
    shown = api.get(path).json()
    assert chain_verify(lines, fingerprint=shown["fingerprint"], head=shown["export"]["head"]).ok


def test_a_line_explains_itself(invoice: Body, owner: Person) -> None:
    line = next(line for line in invoice["lines"] if line["meter"] == "output_tokens")
    told = owner.api().get(f"/invoices/{invoice['id']}/lines/{line['id']}/explain").json()
    assert [event["id"] for event in told["events"]] == ["1"]
    assert (told["windows_total"], told["next"], told["line"]["amount"]) == ("1000000", None, line["amount"])
    wrong = owner.api().get(f"/invoices/{invoice['id']}/lines/{line['id']}/explain?cursor=zz")
    assert wrong.status_code == 422


READS = ["", ".pdf", ".csv", "/export", "/lines/{line}/explain"]
VERBS: dict[str, Body] = {
    "finalize": {},
    "void": {"reason": "x"},
    "pay": {"reference": "x"},
    "mark-uncollectible": {"reason": "x"},
    "settle": {},
    "credit": {"amount": "1.00", "reason": "x"},
}


def test_three_people(invoice: Body, owner: Person, teammate: Person, stranger: Person) -> None:
    path, line = f"/invoices/{invoice['id']}", invoice["lines"][0]["id"]
    for suffix in READS:
        address = path + suffix.format(line=line)
        found = [person.api().get(address).status_code for person in (owner, teammate, stranger)]
        assert found == [200, 200, 404], suffix
        assert ApiClient(None).get(address).status_code == 401
    for verb, body in VERBS.items():
        refused = teammate.api().post(f"{path}/{verb}", body)
        assert (refused.status_code, refused.json().get("required_scope")) == (403, "billing:write"), verb
        assert stranger.api().post(f"{path}/{verb}", body).status_code == 404
    assert stranger.api().get("/invoices").json()["results"] == []
    assert stranger.api().get("/invoices?tenant=acme").status_code == 404
    assert stranger.api().post("/invoices", {"tenant": "acme", "period": "2026-01"}).status_code == 404
    assert teammate.api().post("/invoices", {"tenant": "acme", "period": "2026-01"}).status_code == 403
    assert Invoice.objects.get().state == "finalized"


def test_finance_may_act(draft: Body, owner: Person) -> None:
    fay = person_make("fay@example.com", owner.team, roles.FINANCE)
    assert fay.api().post(f"/invoices/{draft['id']}/finalize").json()["state"] == "finalized"


# --- closes, and who invoices whom -------------------------------------------------------------------------


def test_a_month_is_closed_and_says_where_each_tenant_stands(
    used: Tenant, owner: Person, last_month: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = owner.api()
    this_month = f"{clock.now():%Y-%m}"
    assert api.post("/period-closes", {"period": this_month}).json()["code"] == "period_open"
    begun = api.post("/period-closes", {"period": f"{last_month:%Y-%m}", "without_grace": True})
    assert (begun.status_code, begun.json()["state"]) == (202, "running")
    assert begun.headers["Location"] == f"/api/v1/period-closes/{begun.json()['id']}"
    assert period_closes_task() >= 1
    done = api.get(f"/period-closes/{begun.json()['id']}").json()
    (turn,) = done["tenants"]
    assert (done["state"], turn["tenant"], turn["state"]) == ("done", "acme", "invoiced")
    assert api.get(f"/invoices/{turn['invoice']}").json()["state"] == "finalized"
    assert done["progress"]["invoiced"] == 1


def test_a_held_tenant_is_released_by_those_who_may(
    used: Tenant, owner: Person, teammate: Person, stranger: Person, last_month: datetime
) -> None:
    period = f"{last_month:%Y-%m}"
    close = owner.api().post("/period-closes", {"period": period, "without_grace": True}).json()
    TenantClose.objects.update(state="held", detail={"reason": "drift"})
    path, body = f"/period-closes/{close['id']}", {"tenant": "acme", "reason": "looked at it"}
    assert teammate.api().get(path).json()["tenants"][0]["state"] == "held"
    assert stranger.api().get(path).status_code == 404
    assert teammate.api().post(f"{path}/release", body).status_code == 403
    assert stranger.api().post(f"{path}/release", body).status_code == 404
    assert teammate.api().post("/period-closes", {"period": period}).status_code == 403
    assert TenantClose.objects.get().state == "held"
    assert owner.api().post(f"{path}/release", {"tenant": "acme"}).status_code == 422
    released = owner.api().post(f"{path}/release", body).json()
    assert (released["tenants"][0]["state"], released["state"]) == ("released", "running")
    period_close(close_id=close["id"], at=datetime.now(UTC), actor="t")
    assert Invoice.objects.get().state == "finalized"


def test_seller_and_buyer_are_frozen_on_the_invoice(
    draft: Body, owner: Person, teammate: Person, stranger: Person
) -> None:
    api = owner.api()
    seller = {
        "name": "Seller GmbH",
        "address": ["Hauptstr. 1", "10115 Berlin"],
        "country": "DE",
        "due_days": 30,
    }
    assert api("PATCH", "/legal-entity", seller).json()["due_days"] == 30
    assert teammate.api()("PATCH", "/legal-entity", seller).status_code == 403
    assert stranger.api().get("/legal-entity").json()["name"] == "Freehold", "every team has its own"
    wrong = {
        "tax_provider": "fixed",
        "tax_rates": [{"country": "Germany", "rate": "0.19", "since": "2026-01-01"}],
    }
    assert api("PATCH", "/legal-entity", wrong).json()["errors"][0]["pointer"] == "/tax_rates/0/country"
    buyer = {"name": "Acme Inc.", "country": "US", "purchase_order": "PO 7"}
    assert api("PATCH", "/tenants/acme/billing-profile", buyer).json()["name"] == "Acme Inc."
    assert teammate.api()("PATCH", "/tenants/acme/billing-profile", buyer).status_code == 403
    assert stranger.api()("PATCH", "/tenants/acme/billing-profile", buyer).status_code == 404
    final = api.post(f"/invoices/{draft['id']}/finalize").json()
    api("PATCH", "/legal-entity", {"name": "Renamed AG"})
    shown = api.get(f"/invoices/{draft['id']}").json()
    assert (shown["seller"]["name"], shown["customer"]["name"]) == ("Seller GmbH", "Acme Inc.")
    finalized = datetime.fromisoformat(final["finalized_at"])
    assert shown["due_date"] == f"{finalized + timedelta(days=30):%Y-%m-%d}"


def test_the_command_line_verifies_offline(invoice: Body, owner: Person, tmp_path: Any) -> None:
    from typer.testing import CliRunner

    from controlplane.cli.main import app

    export = owner.api().get(f"/invoices/{invoice['id']}/export")
    file = tmp_path / "export.jsonl"
    file.write_bytes(b"".join(export.streaming_content))
    run: Callable[..., Any] = CliRunner().invoke
    good = run(app, ["invoices", "verify", str(file), "--fingerprint", invoice["fingerprint"], "--json"])
    assert (good.exit_code, json.loads(good.stdout)["ok"]) == (0, True)
    file.write_text(file.read_text().replace('"amount":"', '"amount":"9', 1))
    assert run(app, ["invoices", "verify", str(file)]).exit_code == 1
