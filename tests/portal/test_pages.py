"""Every page answers, keeps the content security policy, and shows what it is about."""

import csv
import io
import re
from datetime import timedelta

import pytest
from django.test import Client

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal import listing
from controlplane.tenants.component_health import looks_settle
from controlplane.tenants.looks import Look
from controlplane.tenants.models import HealthChange, Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.support.people import Person

TENANT_PAGES = (
    "",
    "resources/",
    "agents/",
    "operations/",
    "usage/",
    "budgets/",
    "cost/",
    "billing/",
    "snapshots/",
    "settings/",
)
LIST_PAGES = (
    "/", "/tenants/", "/tenants/new/", "/operations/", "/usage/", "/budgets/", "/margin/", "/keys/", "/audit/",
    "/access/",
)  # fmt: skip


def assert_clean(page: Page) -> None:
    """Nothing that the policy would refuse: the page must look right under it."""
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.inline_scripts == 0
    for tag, attributes in page.tags:
        assert tag != "style"
        assert "style" not in attributes, (tag, attributes)
        handlers = [name for name in attributes if name.startswith(("on", "hx-on"))]
        assert handlers == [], (tag, attributes)
        if tag == "script":
            assert attributes["src"].startswith("/static/")


def assert_accessible(page: Page) -> None:
    """One heading of the first level, a language, a main part, names on fields, unique ids."""
    assert page.all("html", lang="en")
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    ids = [found["id"] for _, found in page.tags if "id" in found]
    assert len(ids) == len(set(ids)), sorted(ids)
    labelled = {found["for"] for found in page.all("label") if "for" in found}
    for tag, found in page.tags:
        if tag in ("input", "select") and found.get("type") not in ("hidden", "radio", "checkbox"):
            assert found.get("id") in labelled or "aria-label" in found, found


@pytest.mark.parametrize("path", LIST_PAGES)
def test_lists_render_empty_and_full(owner: Person, browse: Browse, path: str) -> None:
    empty = Page(browse(owner).get(path))
    stories.provisioned(owner.principal, "acme", clock.now())
    full = Page(browse(owner).get(path))

    for page in (empty, full):
        assert page.status == 200
        assert_clean(page)
        assert_accessible(page)


def test_an_empty_list_teaches_the_first_action_and_its_command(owner: Person, browse: Browse) -> None:
    page = Page(browse(owner).get("/tenants/"))

    assert "No tenants yet" in page.text
    assert page.all("a", href="/tenants/new/")
    assert "freehold tenants create acme --plan starter --target local" in page.text


@pytest.mark.parametrize("tab", TENANT_PAGES)
def test_tabs_of_a_tenant(owner: Person, browse: Browse, active: tuple[Tenant, Operation], tab: str) -> None:
    page = Page(browse(owner).get(f"/tenants/acme/{tab}"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert page.all("a", href=f"/tenants/acme/{tab}", aria_current="page")
    assert "Acme Corporation" in page.text


@pytest.mark.parametrize("tab", TENANT_PAGES)
def test_tabs_of_a_tenant_that_is_only_requested(
    owner: Person, browse: Browse, acme: tuple[Tenant, Operation], tab: str
) -> None:
    page = Page(browse(owner).get(f"/tenants/acme/{tab}"))

    assert page.status == 200
    assert_clean(page)
    assert_accessible(page)
    assert "Watch it live" in page.text


def test_each_page_has_a_title_of_its_own(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    """Tabs of a browser, its history and screen readers tell pages apart by nothing else."""
    client = browse(owner)
    further = ("start/", "customers/", "credits/", "playground/", "budgets/new/")
    paths = [*LIST_PAGES, "/budgets/new/", *(f"/tenants/acme/{tab}" for tab in (*TENANT_PAGES, *further))]
    titles: dict[str, str] = {}
    for path in paths:
        found = re.search("<title>(.*?) · Freehold</title>", client.get(path).content.decode())
        assert found is not None, path
        assert titles.setdefault(found[1], path) == path, path
    assert titles["Usage · Acme Corporation"] == "/tenants/acme/usage/"
    assert titles["Acme Corporation"] == "/tenants/acme/"


def test_the_summary_shows_endpoint_components_and_health(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).get("/tenants/acme/"))

    assert "http://127.0.0.1:21003" in page.text
    assert 'get_sync_client( url="http://127.0.0.1:21003",' in page.text
    assert "pgvector on 127.0.0.1:21002" in page.text
    assert page.all("span", title="health: healthy")
    assert "2 ms: vector_store answers" in page.text


def test_the_summary_says_which_component_is_to_blame(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    HealthChange.objects.all().delete()
    for ago, health in ((4, "healthy"), (1, "unhealthy")):
        looks = [Look("postgres", health, "nothing listens on its port"), Look("runtime", "healthy", "", 1)]
        looks_settle(tenant_id=active[0].pk, looks=looks, now=clock.now() - timedelta(hours=ago))
    page = Page(browse(owner).get("/tenants/acme/"))

    assert "up 75.00 % of the last 30 days" in page.text
    assert "Postgres is unhealthy (nothing listens on its port)." in page.text
    assert page.all("span", title="health: unhealthy")
    assert_accessible(page)


def test_unknown_health_is_grey_never_red(
    owner: Person, browse: Browse, acme: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).get("/tenants/acme/"))

    badges = page.all("span", title="health: unknown")
    assert badges
    assert {badge["class"] for badge in badges} == {"badge idle"}
    assert "Unknown is not a failure" in page.text


def test_usage_is_charted_and_tabled_alike(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).get("/tenants/acme/usage/?meter=output_tokens"))

    bars = [found for found in page.all("rect") if found.get("class", "").startswith("bar")]
    assert len(bars) >= 28
    assert sum(float(bar["height"]) > 0 for bar in bars) == 1
    assert "6,000" in page.text
    assert "offline-rules-1" in page.text
    assert page.all("a", href="/tenants/acme/usage/?meter=input_tokens") or page.all(
        "a", href="?meter=input_tokens"
    )
    assert any("format=pdf" in link.get("href", "") for link in page.all("a"))


def test_the_invoice_preview_adds_up_to_the_usage_report(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client = browse(owner)
    report = client.get("/tenants/acme/usage/").context["report"]
    invoice = client.get("/tenants/acme/billing/").context["invoice"]

    assert report["estimated_total"] == invoice["total"]


def test_a_malformed_period_is_said_so(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    page = Page(browse(owner).get("/tenants/acme/usage/?period=soon"))

    assert page.status == 422
    assert "must be a month as YYYY-MM" in page.text
    assert_clean(page)


def test_lists_filter_sort_and_page_by_the_url(owner: Person, browse: Browse) -> None:
    now = clock.now()
    stories.provisioned(owner.principal, "acme", now)
    stories.failed(owner.principal, "hooli", now)
    client = browse(owner)

    def rows(path: str) -> list[str]:
        return [found["href"] for found in Page(client.get(path)).all("a", **{"class": "cover"})]

    assert rows("/tenants/?sort=name") == ["/tenants/acme/", "/tenants/hooli/"]
    assert rows("/tenants/?sort=-name") == ["/tenants/hooli/", "/tenants/acme/"]
    assert rows("/tenants/?lifecycle=failed") == ["/tenants/hooli/"]
    assert rows("/tenants/?q=ACM") == ["/tenants/acme/"]
    assert len(rows("/tenants/?lifecycle=nonsense&sort=nonsense&page=99")) == 2
    assert rows("/tenants/?q=nobody") == []
    assert len(rows("/operations/?state=failed")) == 1
    assert len(rows("/operations/?tenant=acm")) == 1


def test_a_visitor_is_sent_to_sign_in_and_back(db: None, client: Client) -> None:
    answer = client.get("/tenants/acme/usage/?meter=agent_runs")

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/login/?next=/tenants/acme/usage/")
    page = Page(client.get(answer.headers["Location"]))
    assert_clean(page)
    assert_accessible(page)


def test_signing_in_and_out(owner: Person, client: Client) -> None:
    wrong = Page(client.post("/account/login/", {"login": owner.user.email, "password": "wrong"}))
    assert wrong.status == 200
    assert wrong.all("div", role="alert")
    assert wrong.value("login") == owner.user.email

    right = client.post(
        "/account/login/",
        {"login": owner.user.email, "password": "correct horse battery staple", "next": "/operations/"},
    )
    assert right.headers["Location"] == "/operations/"
    assert "Overview" in Page(client.get("/")).text
    client.post("/account/logout/")
    assert client.get("/tenants/").status_code == 302


def test_pages_are_not_cached(owner: Person, browse: Browse) -> None:
    assert browse(owner).get("/tenants/").headers["Cache-Control"] == "no-store"


def test_an_address_with_a_nul_is_not_found(owner: Person, browse: Browse) -> None:
    assert browse(owner).get("/tenants/?q=%00").status_code == 404


def test_a_page_costs_few_queries(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation], django_assert_max_num_queries: object
) -> None:
    client = browse(owner)
    for number in range(5):
        stories.provisioned(owner.principal, f"tenant-{number}", clock.now())
    for path in ("/", "/tenants/", "/operations/", "/tenants/acme/", "/tenants/acme/operations/"):
        with django_assert_max_num_queries(12):  # type: ignore[operator]
            client.get(path)


def test_a_long_list_is_counted_no_further_than_anybody_pages(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_COUNTED", 2)
    monkeypatch.setattr(listing, "PER_PAGE", 1)
    for number in range(3):
        stories.provisioned(owner.principal, f"tenant-{number}", clock.now())
    client = browse(owner)
    assert "1 to 1 of more than 2" in Page(client.get("/tenants/")).text
    assert "2 to 2 of more than 2" in Page(client.get("/tenants/?page=9")).text
    assert "1 to 1 of 1" in Page(client.get("/tenants/?q=tenant-1")).text


def test_the_list_of_tenants_as_a_file_is_filtered_and_ordered_as_the_page_and_safe_in_sheets(
    owner: Person, stranger: Person, browse: Browse
) -> None:
    now = clock.now()
    for slug, name in (("beta", "Beta"), ("alpha", "=HYPERLINK(1)"), ("gamma", "Gamma")):
        stories.provisioned(owner.principal, slug, now, name=name)
    client = browse(owner)
    page = Page(client.get("/tenants/?q=a&sort=-name"))
    (link,) = [found["href"] for found in page.all("a") if "tenants.csv" in found["href"]]
    answer = client.get(link)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["slug"] for row in rows] == ["gamma", "beta", "alpha"]
    assert rows[2]["name"] == "'=HYPERLINK(1)"
    assert rows[0]["lifecycle"] == "active"
    assert "attachment" in answer.headers["Content-Disposition"]
    assert browse(stranger).get("/tenants/tenants.csv").content.decode().count("\n") == 1
    assert browse(None).get("/tenants/tenants.csv").status_code == 302
