"""Webhooks of budgets and report schedules, set in forms: what is sent comes first, the secret once at the end."""

import html
import json
import re
from decimal import Decimal
from typing import Any

import pytest

from billing.budgets.models import Budget
from billing.budgets.notices import notice_data
from billing.budgets.services import budget_create
from billing.reports.models import ReportSchedule
from controlplane.accounts import roles
from controlplane.api.models import IdempotencyRecord
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.core.outbound.models import OutboundEndpoint
from controlplane.core.outbound.selectors import endpoint_url
from controlplane.core.outbound.services import endpoint_secret
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_budgets import FORM
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
URL, OTHER = "https://hooks.example.com/in", "https://hooks.example.com/elsewhere"
PLACES = {"a tenant's": "/tenants/acme/", "the fleet's": "/"}
WEEKLY = {"cadence": "weekly", "format": "csv"}


def secret_on(page: Page) -> str:
    found = re.search(r'id="issued-secret">([^<]+)<', page.html)
    return html.unescape(found[1]) if found else ""


def sent(client: Any, path: str, **fields: str) -> Any:
    """Through both steps of a budget's form; the same last post once more is what `form` is for."""
    form = {**FORM, **fields}
    shown = Page(client.post(path, form))
    assert shown.status == 200, shown.text
    return {**form, "form_key": shown.value("form_key"), "previewed": shown.value("previewed")}


def sample_on(page: Page) -> Any:
    return json.loads(
        html.unescape(page.html.split('<pre tabindex="0" aria-label="What is sent">')[1].split("</pre>")[0])
    )


@pytest.mark.parametrize("base", PLACES.values(), ids=PLACES)
def test_a_budgets_webhook_is_set_and_its_secret_shown_once(
    owner: Person, browse: Browse, active: Active, base: str
) -> None:
    client = browse(owner)
    path = f"{base}budgets/new/"
    form = sent(client, path, webhook_url=URL)

    page = Page(client.post(path, form))

    assert page.status == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert_clean(page)
    assert_accessible(page)
    budget, endpoint = Budget.objects.get(), OutboundEndpoint.objects.get()
    assert budget.endpoint_id == endpoint.pk
    assert endpoint.url == URL
    assert secret_on(page) == endpoint_secret(endpoint)
    again = client.post(path, form)
    assert (again.status_code, again.headers["Location"]) == (302, f"{base}budgets/")
    assert Budget.objects.count() == 1
    stored = Page(client.get(f"{base}budgets/{budget.pk}/"))
    assert stored.value("webhook_url") == URL
    for kept in (
        stored.html,
        str(list(AuditEvent.objects.values())),
        str(list(IdempotencyRecord.objects.values())),
    ):
        assert secret_on(page) not in kept


def test_a_change_of_something_else_keeps_the_secret_and_an_empty_field_takes_the_webhook_off(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    client.post("/budgets/new/", sent(client, "/budgets/new/", webhook_url=URL))
    budget, first = Budget.objects.get(), OutboundEndpoint.objects.get()
    path = f"/budgets/{budget.pk}/"

    def change(**fields: str) -> Any:
        etag = Page(client.get(path)).value("etag")
        return client.post(path, sent(client, path, etag=etag, **fields))

    for fields in ({"amount": "700", "webhook_url": URL}, {"amount": "800"}):
        assert change(**fields).status_code == 302
        assert OutboundEndpoint.objects.get() == first
    moved = Page(change(webhook_url=OTHER))
    second = OutboundEndpoint.objects.get()
    assert (second.url, secret_on(moved)) == (OTHER, endpoint_secret(second))
    assert change(webhook_url="").status_code == 302
    budget.refresh_from_db()
    assert (budget.endpoint_id, OutboundEndpoint.objects.count()) == (None, 0)
    assert endpoint_url(endpoint_id=None) == ""


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://127.0.0.1/", "nowhere"])
def test_an_address_that_may_not_be_posted_to_is_told_at_its_field(
    owner: Person, browse: Browse, active: Active, url: str
) -> None:
    client = browse(owner)
    page = Page(client.post("/budgets/new/", {**FORM, "webhook_url": url}))
    assert page.status == 422
    assert page.all("p", id="webhook-error")
    assert page.value("webhook_url") == url
    assert_accessible(page)
    client.post("/usage/schedules/", {**WEEKLY, "webhook_url": url})
    assert Page(client.get("/usage/")).all("div", role="alert")
    assert (Budget.objects.count(), ReportSchedule.objects.count(), OutboundEndpoint.objects.count()) == (
        0,
        0,
        0,
    )


@pytest.mark.parametrize("base", ["/tenants/acme/usage/", "/usage/"])
def test_a_schedule_may_tell_a_webhook_alone(
    owner: Person, browse: Browse, active: Active, base: str
) -> None:
    client = browse(owner)
    form = {**WEEKLY, "emails": "", "webhook_url": URL, "form_key": "k"}

    page = Page(client.post(f"{base}schedules/", form))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert secret_on(page) == endpoint_secret(OutboundEndpoint.objects.get())
    assert client.post(f"{base}schedules/", form).headers["Location"] == base
    assert ReportSchedule.objects.get().endpoint_id == OutboundEndpoint.objects.get().pk
    listed = Page(client.get(base))
    assert "to a webhook" in listed.text
    assert secret_on(page) not in listed.html


def test_what_is_sent_is_shown_as_it_is_sent(owner: Person, browse: Browse, active: Active) -> None:
    client, now = browse(owner), clock.now()
    budget, _ = budget_create(
        team_id=owner.team.pk, tenant_id=active[0].pk, name="x", amount=Decimal(500), currency="USD",
        actor="test", now=now, secret_bytes=b"x" * 32,
    )  # fmt: skip
    figures = {"spent": "1", "run_rate": "1", "forecast": "1"}
    alert = budget.alerts.create(
        period="2026-11",
        on="actual",
        percent=80,
        actions=["alert"],
        amount=500,
        value=1,
        figures=figures,
        fired_at=now,
    )
    alert.refresh_from_db()
    budget.refresh_from_db()
    told = notice_data(budget=budget, alert=alert, tenant="acme")

    shown = sample_on(Page(client.get("/tenants/acme/budgets/new/")))

    assert (shown["type"], shown["data"]["tenant"]) == ("budget.reached", "acme")
    assert set(shown) == {"type", "timestamp", "data"}
    assert set(shown["data"]) == set(told)
    report = sample_on(Page(client.get("/usage/")))
    assert report["type"] == "usage_report.ready"
    assert set(report["data"]) == {"schedule_id", "period", "tenant", "report"}


def test_who_only_looks_sets_no_webhook_and_reads_no_address(
    owner: Person, stranger: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    client.post("/tenants/acme/budgets/new/", sent(client, "/tenants/acme/budgets/new/", webhook_url=URL))
    path = f"/tenants/acme/budgets/{Budget.objects.get().pk}/"
    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))

    assert URL not in Page(viewer.get(path)).html
    for changes in (path, "/tenants/acme/usage/schedules/"):
        assert viewer.post(changes, {**FORM, **WEEKLY, "webhook_url": OTHER}).status_code == 403
        assert browse(stranger).post(changes, {**FORM, **WEEKLY, "webhook_url": OTHER}).status_code == 404
    assert OutboundEndpoint.objects.get().url == URL
