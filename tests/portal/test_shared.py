"""The page behind a link: one tenant's own report, for whoever holds the address, while it holds."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from pypdf import PdfReader

from billing.reports.links import report_link_create, report_link_follow
from billing.reports.models import ReportLink
from controlplane.accounts import roles
from controlplane.accounts.services import api_key_create
from controlplane.core import clock
from controlplane.core.errors import NotFound, ValidationFailed
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal import shared
from controlplane.tenants.models import Tenant
from tests.portal import stories
from tests.portal.conftest import Page
from tests.support.people import ApiClient, Person

Active = tuple[Tenant, Operation]


@pytest.fixture(autouse=True)
def uncounted() -> None:
    cache.clear()


def _link(owner: Person, slug: str = "acme", **body: Any) -> dict[str, Any]:
    answer = owner.api().post(f"/tenants/{slug}/report-links", body)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    return dict(answer.json())


def _path(url: str) -> str:
    return "/shared/" + url.split("/shared/")[1]


def test_the_page_shows_the_report_of_its_tenant_and_of_nobody_else(active: Active, owner: Person) -> None:
    stories.provisioned(owner.principal, "globex", clock.now(), name="Globex Corporation")
    page = Page(Client().get(_path(_link(owner)["url"])))
    report = owner.api().get("/tenants/acme/usage-report").json()
    assert page.status == 200
    assert "Acme Corporation" in page.text
    assert f"{float(report['estimated_total']):,.2f}" in page.text
    assert "lobex" not in page.html
    for secret in (owner.user.email, "Team O", "starter v", "fh_", "127.0.0.1:2", "csrf"):
        assert secret not in page.html, secret
    assert page.all("meta", name="robots", content="noindex, nofollow")
    assert page.headers["X-Robots-Tag"] == "noindex, nofollow, noarchive"
    assert page.headers["Cache-Control"] == "private, no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert "Set-Cookie" not in page.headers
    assert page.inline_scripts == 0
    inside = [a["href"] for a in page.all("a") if not a["href"].startswith(("#", "usage.", "?"))]
    assert inside == [], "nothing leads into the portal"


def test_its_files_are_the_reports_own(active: Active, owner: Person) -> None:
    path = _path(_link(owner)["url"])
    sheet = Client().get(f"{path}usage.csv")
    assert (sheet.status_code, sheet.headers["X-Robots-Tag"]) == (200, "noindex, nofollow, noarchive")
    assert sheet.content == owner.api().get("/tenants/acme/usage-report?format=csv").content
    document = Client().get(f"{path}usage.pdf")
    assert document.headers["Content-Disposition"].startswith('attachment; filename="usage-acme-')
    import io

    assert "Acme" in PdfReader(io.BytesIO(document.content)).pages[0].extract_text()
    assert Client().get(f"{path}usage.json").status_code == 404


def test_the_address_is_shown_once_and_kept_as_a_hash(active: Active, owner: Person) -> None:
    made = _link(owner, label="For Ada")
    token = _path(made["url"]).split("/")[3]
    listed = owner.api().get("/tenants/acme/report-links")
    assert listed.json()["results"][0]["label"] == "For Ada"
    secret = token.split(".")[1]
    assert secret not in listed.content.decode()
    assert secret not in str(list(ReportLink.objects.values()))
    assert not AuditEvent.objects.filter(data__icontains=secret).exists()


def test_a_revoked_or_expired_link_ends_at_once(active: Active, owner: Person) -> None:
    made = _link(owner)
    path = _path(made["url"])
    assert Client().get(path).status_code == 200
    assert owner.api()("DELETE", f"/tenants/acme/report-links/{made['id']}").status_code == 204
    for ending in ("", "usage.csv", "usage.pdf"):
        assert Client().get(path + ending).status_code == 404
    other = _link(owner, expires_in_days=1)
    ReportLink.objects.filter(pk=other["id"]).update(expires_at=clock.now() - timedelta(seconds=1))
    assert Client().get(_path(other["url"])).status_code == 404
    states = {
        row["id"]: row["state"] for row in owner.api().get("/tenants/acme/report-links").json()["results"]
    }
    assert states == {made["id"]: "revoked", other["id"]: "expired"}


def test_a_link_that_ended_tells_a_customer_nothing_of_the_portal(active: Active, owner: Person) -> None:
    path = _path(_link(owner)["url"])
    for wrong in (f"{path}?period=2026-13", f"{path[:-3]}xx/", "/join/x.y.z/"):
        page = Page(Client().get(wrong))
        assert page.status == 404
        assert not page.all("a", href="/tenants/")
        assert "freehold tenants" not in page.text


def test_a_token_that_was_changed_or_made_up_is_refused(
    active: Active, owner: Person, django_assert_num_queries: Any
) -> None:
    token = _path(_link(owner)["url"]).split("/")[3]
    head, secret, signature = token.split(".")
    other = "A" if secret[0] != "A" else "B"
    forged = (
        "", "x", "..", f"{head}.{secret}", f"{head}.{other}{secret[1:]}.{signature}",
        f"{'0' * 32}.{secret}.{signature}", f"{head}.{secret}.{signature[:-1]}", f"{token}x",
    )  # fmt: skip
    for made_up in forged:
        with django_assert_num_queries(0), pytest.raises(NotFound):
            report_link_follow(token=made_up, now=clock.now())
    assert Client().get(f"/shared/usage/{head}.{secret}.nope/").status_code == 404


def test_other_months_are_read_and_strange_ones_refused(active: Active, owner: Person) -> None:
    path = _path(_link(owner)["url"])
    month = clock.now().strftime("%Y-%m")
    assert Client().get(f"{path}?period={month}").status_code == 200
    for strange in ("1999-01", "2999-01", "November", "2026-13", "%00"):
        assert Client().get(f"{path}?period={strange}").status_code == 404
    assert Client().post(path).status_code == 405


def test_a_link_is_read_so_often_a_minute(
    active: Active, owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock.now()
    monkeypatch.setattr(clock, "now", lambda: now)  # all within one minute of the clock
    monkeypatch.setattr(shared, "LIMIT", 3)
    path, other = _path(_link(owner)["url"]), _path(_link(owner)["url"])
    assert [Client().get(path).status_code for _ in range(4)] == [200, 200, 200, 429]
    assert Client().get(path).headers["Retry-After"] == "60"
    assert Client().get(other).status_code == 200, "each link by itself"


def test_the_three_people_make_and_end_links(
    active: Active, owner: Person, teammate: Person, stranger: Person
) -> None:
    made = _link(owner)
    one = f"/tenants/acme/report-links/{made['id']}"
    assert teammate.api().get("/tenants/acme/report-links").status_code == 200
    assert teammate.api().post("/tenants/acme/report-links").status_code == 403
    assert teammate.api()("DELETE", one).status_code == 403
    assert stranger.api().get("/tenants/acme/report-links").status_code == 404
    assert stranger.api().post("/tenants/acme/report-links").status_code == 404
    assert stranger.api()("DELETE", one).status_code == 404
    _, token = api_key_create(
        team_id=owner.team.id, name="k", scopes=[roles.BILLING_READ], actor="test", now=clock.now()
    )
    assert ApiClient(token).post("/tenants/acme/report-links").status_code == 403
    assert Client().get(_path(made["url"])).status_code == 200


def test_a_link_lasts_a_year_at_most(active: Active, owner: Person) -> None:
    for days in (0, 367):
        assert owner.api().post("/tenants/acme/report-links", {"expires_in_days": days}).status_code == 422
        with pytest.raises(ValidationFailed):
            report_link_create(
                team_id=owner.team.id, tenant_id=active[0].pk, label="", days=days, secret="s", actor="t",
                now=clock.now(),
            )  # fmt: skip
