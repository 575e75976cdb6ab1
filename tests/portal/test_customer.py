"""What a tenant's own people see behind a link of each scope: that, and nothing else of the vendor or of others."""

import io
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from pypdf import PdfReader

from billing.directory import directory
from billing.invoicing.models import Invoice
from billing.invoicing.services import invoice_finalize
from billing.reports.links import PAGES, SHOWS
from billing.reports.models import LINK_SCOPES, ReportLink
from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal.visitors import TITLES
from controlplane.tenants.component_health import looks_settle
from controlplane.tenants.looks import Look
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person
from tests.tenant_runtime.support import RuntimeProcess

Active = tuple[Tenant, Operation]
#: Words of the vendor's own that no page of a customer may say.
INTERNAL = (
    "127.0.0.1",
    "starter",
    "fh_",
    "fhr_",
    "postgres",
    "pulumi",
    "Team O",
    "/api/v1",
    "/tenants/",
    "freehold ",
)


@pytest.fixture(autouse=True)
def uncounted() -> None:
    cache.clear()


def link(owner: Person, scope: str, slug: str = "acme") -> dict[str, str]:
    """page -> address of every page, with the token of a link of this scope."""
    made = owner.api().post(f"/tenants/{slug}/report-links", {"scope": scope})
    assert made.status_code == 201, made.content
    assert made.json()["scope"] == scope
    token = made.json()["url"].split("/")[-2]
    return {page: f"/shared/{page}/{token}/" for page in PAGES}


def test_pages_have_names_and_scopes_grow() -> None:
    assert tuple(TITLES) == PAGES
    assert tuple(SHOWS) == LINK_SCOPES
    assert [len(SHOWS[scope]) for scope in LINK_SCOPES] == [1, 2, 4]


@pytest.mark.parametrize("scope", LINK_SCOPES)
def test_a_link_opens_the_pages_of_its_scope_alone(active: Active, owner: Person, scope: str) -> None:
    invoice, places = stories.invoiced(active[0]), link(owner, scope)
    for page, place in places.items():
        answer = Client().get(place)
        assert answer.status_code == (200 if page in SHOWS[scope] else 404), page
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert answer.headers["X-Robots-Tag"] == "noindex, nofollow, noarchive"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "Set-Cookie" not in answer.headers
        shown = Page(answer)
        assert_clean(shown)
        if answer.status_code == 200:
            assert_accessible(shown)
            assert not [word for word in INTERNAL if word in shown.html]
            led = {a["href"] for a in shown.all("a") if a["href"].startswith("/")}
            allowed = tuple(places[each] for each in SHOWS[scope])
            assert not [href for href in led if not href.startswith(allowed)], "nothing leads elsewhere"
            nav = {a["href"] for a in shown.all("a") if a["href"] in places.values()}
            assert nav >= ({places[each] for each in SHOWS[scope]} if len(SHOWS[scope]) > 1 else set())
        else:
            assert active[0].name not in shown.html
    opened = "invoices" in SHOWS[scope]
    for end in ("/", ".pdf"):
        answer = Client().get(f"{places['invoices']}{invoice.pk}{end}")
        assert answer.status_code == (200 if opened else 404)


def test_links_made_before_there_were_scopes_show_usage(active: Active, owner: Person) -> None:
    made = owner.api().post("/tenants/acme/report-links", {}).json()
    assert made["scope"] == "usage"
    assert owner.api().post("/tenants/acme/report-links", {"scope": "more"}).status_code == 422


def test_invoices_are_those_that_were_issued_to_this_tenant(active: Active, owner: Person) -> None:
    other, _ = stories.provisioned(owner.principal, "globex", clock.now(), name="Globex Corporation")
    theirs, draft = stories.invoiced(other), stories.invoiced(active[0], final=False)
    place = link(owner, "all")["invoices"]
    page = Page(Client().get(place))
    assert "No invoice yet" in page.text
    assert "lobex" not in page.html
    for hidden in (theirs, draft):
        for end in ("/", ".pdf"):
            assert Client().get(f"{place}{hidden.pk}{end}").status_code == 404

    customer = directory().customer(tenant_id=active[0].pk)
    assert customer is not None
    invoice_finalize(invoice=draft, customer=customer, at=clock.now(), actor="test")
    draft.refresh_from_db()
    assert str(draft.number) in Page(Client().get(place)).text
    one = Page(Client().get(f"{place}{draft.pk}/"))
    assert_clean(one)
    assert_accessible(one)
    assert "Acme Corporation" in one.text
    paper = Client().get(f"{place}{draft.pk}.pdf")
    assert paper.headers["Content-Disposition"] == f'attachment; filename="invoice-{draft.number}.pdf"'
    assert str(draft.number) in PdfReader(io.BytesIO(paper.content)).pages[0].extract_text()


def test_what_the_vendor_thinks_of_an_invoice_stays_with_the_vendor(active: Active, owner: Person) -> None:
    invoice = stories.invoiced(active[0])
    Invoice.objects.update(state="uncollectible", state_reason="they never pay")
    place = link(owner, "usage_invoices")["invoices"]
    for path in (place, f"{place}{invoice.pk}/"):
        page = Page(Client().get(path))
        assert "to pay" in page.text
        assert "uncollectible" not in page.html
        assert "never pay" not in page.html


def test_health_is_words_without_what_a_probe_said(active: Active, owner: Person) -> None:
    details = [Look("postgres", "unhealthy", "10.1.2.3:5432 refused", 7), Look("runtime", "healthy", "", 3)]
    for ago in (1, 0):  # one bad look is not believed yet
        looks_settle(tenant_id=active[0].pk, looks=details, now=clock.now() + timedelta(minutes=5 - ago))
    page = Page(Client().get(link(owner, "all")["health"]))
    assert "Database" in page.text
    assert "10.1.2.3" not in page.html
    assert " ms" not in page.text
    Tenant.objects.update(lifecycle="suspended")
    paused = Page(Client().get(link(owner, "all")["health"]))
    assert "Paused" in paused.text
    assert "Database" not in paused.text


def test_agents_have_their_counts_and_no_words(
    active: Active, owner: Person, runtime_behind: Any, teammate: Person
) -> None:
    behind: RuntimeProcess = runtime_behind(active[0])
    with behind.http() as http:
        given = {"messages": [{"role": "user", "content": "zanzibar"}]}
        http.post("/runs/wait", json={"assistant_id": "speaking", "input": given})
    page = Page(Client().get(link(owner, "all")["agents"]))
    assert "Says back what it was told" in page.text
    assert "zanzibar" not in page.html
    assert behind.url not in page.html
    rows = re.findall(r"<tr>(.*?)</tr>", page.html, re.DOTALL)
    counted = next(row for row in rows if "support_agent" in row)
    assert re.findall(r'class="num tnum">(\d+)<', counted) == ["2", "0"]
    assert not AuditEvent.objects.filter(action__startswith="tenant.token").exists()


def test_agents_without_a_runtime_are_those_that_ran(active: Active, owner: Person) -> None:
    Tenant.objects.update(lifecycle="suspended")
    page = Page(Client().get(link(owner, "all")["agents"]))
    assert "document_analyst" in page.text
    assert "cannot be asked about themselves" in page.text


def test_the_form_makes_a_link_of_the_scope_and_the_audit_says_which(
    owner: Person, teammate: Person, stranger: Person, browse: Browse, active: Active
) -> None:
    form = {"label": "For Ada", "scope": "all", "days": "7"}
    assert browse(teammate).post("/tenants/acme/usage/links/", form).status_code == 403
    assert browse(stranger).post("/tenants/acme/usage/links/", form).status_code == 404
    assert not ReportLink.objects.exists()
    page = Page(browse(owner).post("/tenants/acme/usage/links/", form))
    assert_clean(page)
    assert "usage, invoices, health and agents" in page.text
    made = ReportLink.objects.get()
    assert made.scope == "all"
    event = AuditEvent.objects.get(action="billing.report_link.created")
    assert event.data["scope"] == "all"
    listed = Page(browse(owner).get("/tenants/acme/usage/"))
    assert "usage, invoices, health and agents; active" in listed.text
    browse(owner).post("/tenants/acme/usage/links/", {**form, "scope": "everything"})
    assert ReportLink.objects.count() == 1


def test_a_revoked_link_ends_on_every_page_and_a_use_is_noted(active: Active, owner: Person) -> None:
    places = link(owner, "all")
    assert Client().get(places["health"]).status_code == 200
    assert ReportLink.objects.get().last_used_at is not None
    ReportLink.objects.update(revoked_at=datetime(2020, 1, 1, tzinfo=UTC))
    for place in places.values():
        assert Client().get(place).status_code == 404
        assert Client().post(place).status_code == 405


def test_these_pages_cost_few_queries(
    active: Active, owner: Person, django_assert_max_num_queries: Any
) -> None:
    stories.invoiced(active[0])
    places = link(owner, "all")
    for page in PAGES[1:]:  # the report's own reads are counted in test_usage.py
        with django_assert_max_num_queries(12):
            assert Client().get(places[page]).status_code == 200
