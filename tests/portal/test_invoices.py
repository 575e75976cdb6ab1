"""The pages of invoices: who sees them, what the forms do, and how a line explains itself."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing.invoicing.models import Invoice
from billing.metering.services import usage_ingest
from billing.period import month_start
from contracts.usage import MODEL_USAGE
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]


@pytest.fixture
def month(active: Active) -> datetime:
    """The start of the last month, through which acme lived and in which it used tokens."""
    tenant, _ = active
    start = month_start(month_start(clock.now()) - timedelta(days=1))
    Tenant.objects.filter(pk=tenant.pk).update(created_at=start - timedelta(days=40))
    event = {
        "specversion": "1.0", "id": "call-1", "source": "/tenants/acme/runtime/r0", "type": MODEL_USAGE,
        "subject": "acme", "time": (start + timedelta(days=3)).isoformat(),
        "data": {"run_id": "r", "step": 1, "user": "u", "agent": "a", "model": "m", "output_tokens": 1_000_000},
    }  # fmt: skip
    at = start + timedelta(days=4)
    assert usage_ingest(tenant_id=tenant.pk, subject="acme", events=[event], received_at=at).accepted == 1
    return start


@pytest.fixture
def draft(owner: Person, browse: Browse, month: datetime) -> Invoice:
    """Made with the button of the tenant's Billing tab."""
    client = browse(owner)
    page = Page(client.get(f"/tenants/acme/billing/?period={month:%Y-%m}"))
    made = client.post(
        "/tenants/acme/billing/draft/", {"form_key": page.value("form_key"), "period": f"{month:%Y-%m}"}
    )
    found = Invoice.objects.get()
    assert made.headers["Location"] == f"/invoices/{found.pk}/"
    return found


def _act(client: Any, invoice: Invoice, verb: str, **fields: str) -> Any:
    page = Page(client.get(f"/invoices/{invoice.pk}/"))
    form_key = f"{page.value('form_key')}-{verb}"
    return client.post(f"/invoices/{invoice.pk}/{verb}/", {"form_key": form_key, **fields})


def test_without_invoices_the_list_says_how_they_come_about(
    owner: Person, browse: Browse, active: Active
) -> None:
    page = Page(browse(owner).get("/invoices/"))
    assert "No invoices yet" in page.text
    assert "freehold invoices list" in page.text


def test_a_draft_is_finalized_and_paid_by_its_forms(owner: Person, browse: Browse, draft: Invoice) -> None:
    client = browse(owner)
    assert _act(client, draft, "finalize").status_code == 302
    draft.refresh_from_db()
    assert (draft.state, bool(draft.number)) == ("finalized", True)

    page = Page(client.get(f"/invoices/{draft.pk}/"))
    assert str(draft.number) in page.text
    assert page.all("form", action=f"/invoices/{draft.pk}/finalize/") == []

    assert _act(client, draft, "pay", reference="wire 17").status_code == 302
    draft.refresh_from_db()
    assert (draft.state, draft.payment_reference) == ("paid", "wire 17")
    assert "wire 17" in Page(client.get(f"/invoices/{draft.pk}/")).text


def test_a_void_wants_a_reason(owner: Person, browse: Browse, draft: Invoice) -> None:
    client = browse(owner)
    _act(client, draft, "finalize")

    refused = Page(_act(client, draft, "void", reason="  "))
    assert refused.status == 422
    assert "Say the reason first." in refused.text

    assert _act(client, draft, "void", reason="billed twice").status_code == 302
    draft.refresh_from_db()
    assert (draft.state, draft.state_reason) == ("void", "billed twice")


def test_a_line_leads_to_the_events_it_counts(owner: Person, browse: Browse, draft: Invoice) -> None:
    line = draft.lines.get(meter="output_tokens")
    client = browse(owner)
    assert Page(client.get(f"/invoices/{draft.pk}/")).all("a", href=f"/invoices/{draft.pk}/lines/{line.pk}/")

    why = Page(client.get(f"/invoices/{draft.pk}/lines/{line.pk}/"))
    assert "call-1" in why.text
    assert "/tenants/acme/runtime/r0" in why.text
    assert client.get(f"/invoices/{draft.pk}/lines/{draft.pk}/").status_code == 404


def test_the_base_fee_says_that_no_event_stands_behind_it(
    owner: Person, browse: Browse, draft: Invoice
) -> None:
    line = draft.lines.get(kind="base_fee")
    assert "Nothing was counted" in Page(browse(owner).get(f"/invoices/{draft.pk}/lines/{line.pk}/")).text


def test_the_list_filters_by_tenant_state_and_month(
    owner: Person, browse: Browse, draft: Invoice, month: datetime
) -> None:
    client = browse(owner)
    link = {"href": f"/invoices/{draft.pk}/"}
    for query in ("", "?tenant=acm", "?state=draft", f"?period={month:%Y-%m}", "?period=nonsense"):
        assert Page(client.get(f"/invoices/{query}")).all("a", **link), query
    for query in ("?tenant=globex", "?state=paid", "?period=2020-01"):
        page = Page(client.get(f"/invoices/{query}"))
        assert "No invoice matches" in page.text, query


def test_a_viewer_may_look_and_not_act_and_a_stranger_sees_nothing(
    owner: Person, stranger: Person, browse: Browse, draft: Invoice
) -> None:
    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))
    page = Page(viewer.get(f"/invoices/{draft.pk}/"))
    assert page.status == 200
    assert page.all("form", action=f"/invoices/{draft.pk}/finalize/") == []
    assert viewer.post(f"/invoices/{draft.pk}/finalize/").status_code == 403
    assert viewer.post("/tenants/acme/billing/draft/", {"period": "2026-01"}).status_code == 403

    outsider = browse(stranger)
    line = draft.lines.all()[0]
    for path in (f"/invoices/{draft.pk}/", f"/invoices/{draft.pk}/lines/{line.pk}/"):
        assert outsider.get(path).status_code == 404
    assert outsider.post(f"/invoices/{draft.pk}/finalize/").status_code == 404
    assert outsider.post("/tenants/acme/billing/draft/", {"period": "2026-01"}).status_code == 404
    assert str(draft.pk) not in Page(outsider.get("/invoices/")).html
