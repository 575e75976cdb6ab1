"""Usage of all tenants, and reports for people without a login: schedules and links, and who may make them."""

from typing import Any

import pytest
from django.test import Client

from billing.reports.models import ReportDelivery, ReportLink, ReportSchedule
from controlplane.accounts import roles
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.portal import usage
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person, person_make

pytestmark = pytest.mark.usefixtures("quiet_doorbell")
Active = tuple[Tenant, Operation]
HOME = "/tenants/acme/usage/"
WEEKLY = {"cadence": "weekly", "format": "csv", "emails": "finance@example.com, cto@example.com"}


@pytest.fixture
def globex(owner: Person, active: Active) -> Tenant:
    """Beside acme, with a third of its tokens."""
    now = clock.now()
    tenant, _ = stories.provisioned(owner.principal, "globex", now, name="Globex")
    later = clock.now()
    stories.used(tenant, [stories.model_call("globex", n, later) for n in (1, 2)], later)
    return tenant


def test_usage_is_shown_by_tenant_and_day(owner: Person, browse: Browse, globex: Tenant) -> None:
    client = browse(owner)
    page = Page(client.get("/usage/"))

    for said in ("8,000 tokens in all", "6,000", "2,000", "75.0 %", "25.0 %"):
        assert said in page.text, said
    rows = [found["href"] for found in page.all("a", **{"class": "cover"})]
    assert [row.split("?")[0] for row in rows] == [HOME, "/tenants/globex/usage/"]
    assert all("meter=output_tokens" in row for row in rows)
    drawn = [found for found in page.all("rect") if found.get("class", "").startswith("bar")]
    assert sum(float(bar["height"]) > 0 for bar in drawn) == 1
    for form in ("pdf", "csv"):
        assert any(
            f"/api/v1/usage-report?period={clock.now():%Y-%m}&format={form}" in found["href"]
            for found in page.all("a")
        )
    assert_clean(page)
    assert_accessible(page)


def test_what_takes_long_to_add_up_is_kept_for_a_minute_and_for_its_team_alone(
    owner: Person, stranger: Person, browse: Browse, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def more(number: int) -> None:
        later = clock.now()
        stories.used(globex, [stories.model_call("globex", number, later)], later)

    client = browse(owner)
    assert "8,000 tokens in all" in Page(client.get("/usage/")).text
    more(3)
    assert "9,000 tokens in all" in Page(client.get("/usage/")).text, "quickly added up: of this moment"

    monkeypatch.setattr(usage, "SLOW_S", 0)
    assert "9,000 tokens in all" in Page(client.get("/usage/")).text
    more(4)
    assert "9,000 tokens in all" in Page(client.get("/usage/")).text, "it says as of when it is"
    assert "9,000" not in Page(browse(stranger).get("/usage/")).text
    assert "tokens in all" not in Page(client.get("/usage/?period=2020-01")).text
    assert usage.USAGE_KEPT_S <= 60


def test_meter_month_and_order_are_in_the_url(owner: Person, browse: Browse, globex: Tenant) -> None:
    client = browse(owner)

    def slugs(query: str) -> list[str]:
        page = Page(client.get(f"/usage/{query}"))
        assert page.status == 200
        assert_clean(page)
        assert_accessible(page)
        return [found["href"].split("/")[2] for found in page.all("a", **{"class": "cover"})]

    assert slugs("?sort=value") == ["globex", "acme"]
    assert slugs("?sort=-tenant") == ["globex", "acme"]
    assert slugs("?meter=nonsense&sort=nonsense&page=9") == ["acme", "globex"]
    runs = Page(client.get("/usage/?meter=agent_runs"))
    assert "6 runs in all" in runs.text
    longest = Page(client.get("/usage/?meter=longest_run_seconds"))
    assert "does not add up over tenants" in longest.text
    assert "100.0 %" not in longest.text
    assert "Nobody used gpu hours" in Page(client.get("/usage/?meter=gpu_hours")).text
    assert slugs("?period=2020-01") == []
    assert "Nobody of your tenants lived in this month" in Page(client.get("/usage/?period=2020-01")).text
    assert Page(client.get("/usage/?period=soon")).status == 422


@pytest.mark.parametrize("home", [HOME, "/usage/"])
def test_a_schedule_is_made_paused_resumed_and_deleted(
    owner: Person, browse: Browse, active: Active, home: str
) -> None:
    client = browse(owner)
    assert "Nobody gets this report by e-mail yet" in Page(client.get(home)).text

    sent = [client.post(f"{home}schedules/", {**WEEKLY, "form_key": "once"}) for _ in range(2)]
    assert [answer.headers["Location"] for answer in sent] == [home, home]
    made = ReportSchedule.objects.get()
    assert made.tenant_id == (active[0].pk if home == HOME else None)
    assert (made.cadence, made.format, made.emails) == (
        "weekly",
        "csv",
        ["finance@example.com", "cto@example.com"],
    )
    ReportDelivery.objects.create(
        schedule=made,
        due_on=clock.now().date(),
        period="2026-10",
        problem="No rate card.",
        created_at=clock.now(),
    )
    page = Page(client.get(home))
    assert "to finance@example.com, cto@example.com" in page.text
    assert "2026-10 not written: No rate card." in page.text
    assert_clean(page)
    assert_accessible(page)

    client.post(f"{home}schedules/{made.pk}/pause/")
    assert "paused" in Page(client.get(home)).text
    client.post(f"{home}schedules/{made.pk}/resume/")
    made.refresh_from_db()
    assert made.active
    assert client.post(f"{home}schedules/{made.pk}/burn/").status_code == 404
    client.post(f"{home}schedules/{made.pk}/delete/")
    assert ReportSchedule.objects.count() == 0


def test_a_schedule_for_nobody_is_refused_with_the_reason(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    client.post(f"{HOME}schedules/", {**WEEKLY, "emails": ""})
    assert "must name somebody" in Page(client.get(HOME)).text
    client.post(f"{HOME}schedules/", {**WEEKLY, "cadence": "hourly"})
    assert "must be one of monthly, weekly" in Page(client.get(HOME)).text
    assert ReportSchedule.objects.count() == 0


def test_a_link_is_shown_once_works_and_ends_when_it_is_revoked(
    owner: Person, browse: Browse, active: Active
) -> None:
    client = browse(owner)
    made = Page(client.post(f"{HOME}links/", {"label": "For finance", "days": "7"}))
    assert made.status == 200
    assert made.headers["Cache-Control"] == "no-store"
    assert_clean(made)
    address = made.text.split("/shared/")[1].split()[0]
    assert Client().get("/shared/" + address).status_code == 200
    link = ReportLink.objects.get()
    assert (link.expires_at - link.created_at).days == 7

    page = Page(client.get(HOME))
    assert "For finance" in page.text
    assert address.split(".")[1] not in page.html
    assert_accessible(page)
    assert client.get(f"{HOME}links/").headers["Location"] == HOME

    assert client.post(f"{HOME}links/{link.pk}/revoke/").headers["Location"] == HOME
    assert Client().get("/shared/" + address).status_code == 404
    assert "revoked" in Page(client.get(HOME)).text


def test_a_viewer_looks_and_makes_nothing_and_a_stranger_finds_nothing(
    owner: Person, stranger: Person, browse: Browse, globex: Tenant
) -> None:
    client = browse(owner)
    client.post(f"{HOME}schedules/", {**WEEKLY, "form_key": "a"})
    client.post("/usage/schedules/", {**WEEKLY, "form_key": "b"})
    client.post(f"{HOME}links/", {"label": "For finance"})
    own = ReportSchedule.objects.get(tenant_id__isnull=False)
    fleet = ReportSchedule.objects.get(tenant_id__isnull=True)
    link = ReportLink.objects.get()
    posts = (
        f"{HOME}schedules/",
        f"{HOME}schedules/{own.pk}/delete/",
        f"{HOME}links/",
        f"{HOME}links/{link.pk}/revoke/",
    )
    fleet_posts = ("/usage/schedules/", f"/usage/schedules/{fleet.pk}/delete/")

    viewer = browse(person_make("look@example.com", owner.team, roles.VIEWER))
    for path in (HOME, "/usage/"):
        page = Page(viewer.get(path))
        assert "finance@example.com" in page.text
        assert [found["action"] for found in page.all("form", method="post")] == ["/account/logout/"]
    for path in (*posts, *fleet_posts):
        assert viewer.post(path, WEEKLY).status_code == 403, path

    outsider = browse(stranger)
    for path in (*posts, fleet_posts[1]):
        assert outsider.post(path, WEEKLY).status_code == 404, path
    page = Page(outsider.get("/usage/"))
    assert "lobex" not in page.html
    assert "finance@example.com" not in page.text
    # A schedule is found where it belongs alone.
    assert client.post(f"/usage/schedules/{own.pk}/delete/").status_code == 404
    assert client.post(f"/tenants/globex/usage/links/{link.pk}/revoke/").status_code == 404
    assert ReportSchedule.objects.count() == 2
    link.refresh_from_db()
    assert link.revoked_at is None


def test_the_page_costs_few_queries_however_many_tenants_there_are(
    owner: Person, browse: Browse, globex: Tenant, django_assert_max_num_queries: Any
) -> None:
    for number in range(4):
        stories.provisioned(owner.principal, f"tenant-{number}", clock.now())
    client = browse(owner)
    client.post("/usage/schedules/", WEEKLY)
    for meter in ("output_tokens", "runtime_hours"):
        client.get(f"/usage/?meter={meter}")
        with django_assert_max_num_queries(12):
            client.get(f"/usage/?meter={meter}")
