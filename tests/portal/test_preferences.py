"""What belongs to whoever looks: the time zone that pages write times in, and the language."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.utils import timezone

from controlplane.accounts.models import User
from controlplane.accounts.preferences import zone_of, zones_offered
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.portal.templatetags import portal as tags
from controlplane.portal.viewer import ZONE_COOKIE, ViewerMiddleware
from controlplane.tenants.models import Tenant
from tests.portal.conftest import Browse, Page
from tests.portal.test_pages import assert_accessible, assert_clean
from tests.support.people import Person

#: A summer's evening in UTC that is the next day already in Berlin, and not yet so in New York.
MOMENT = datetime(2026, 6, 30, 22, 15, 5, tzinfo=UTC)


def test_times_are_of_the_viewer_and_utc_on_hover() -> None:
    with timezone.override("Europe/Berlin"):
        assert ">01 Jul 2026<" in tags.day(MOMENT)
        assert ">01 Jul 2026, 00:15:05 CEST<" in tags.stamp(MOMENT)
        assert ">00:15:05<" in tags.time_of_day(MOMENT)
        for shown in (tags.day(MOMENT), tags.stamp(MOMENT), tags.when(MOMENT), tags.time_of_day(MOMENT)):
            assert 'title="2026-07-01 00:15:05 CEST, 2026-06-30 22:15:05 UTC"' in shown
            assert 'datetime="2026-06-30T22:15:05Z"' in shown
        assert tags.zone_name() == "Europe/Berlin"


def test_a_relative_time_that_is_long_ago_is_a_day_of_the_viewer() -> None:
    old = datetime(2020, 6, 30, 22, 15, tzinfo=UTC)
    with timezone.override("Europe/Berlin"):
        assert ">01 Jul 2020<" in tags.when(old)
        assert " data-relative>" in tags.when(old)
    assert ">30 Jun 2020<" in tags.when(old)


def test_days_of_periods_stay_in_utc() -> None:
    start = datetime(2026, 7, 1, tzinfo=UTC)
    with timezone.override("America/New_York"):
        assert ">30 Jun 2026<" in tags.day(start)
        assert ">01 Jul 2026<" in tags.utc_day(start)
        assert ">01 Jul 2026<" in tags.utc_day("2026-07-01T00:00:00Z")
        assert tags.utc_date(start, "M Y") == "Jul 2026"
        assert 'title="2026-07-01 00:00:00 UTC"' in tags.utc_day(start)


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "/etc/localtime", "localtime", "Europe/Atlantis", "é\n"]
)
def test_what_is_no_zone_is_none(name: str) -> None:
    assert zone_of(name) is None


def test_zones_are_offered_by_region_and_each_can_be_shown() -> None:
    offered = zones_offered()
    assert next(iter(offered)) == "UTC"
    assert "Europe/Berlin" in offered["Europe"]
    assert all(zone_of(name) for names in offered.values() for name in names)


def test_a_page_is_in_the_saved_zone_and_says_so(
    owner: Person, browse: Browse, active: tuple[Tenant, Operation]
) -> None:
    client = browse(owner)
    client.cookies[ZONE_COOKIE] = "Asia/Tokyo"
    assert "Times in Asia/Tokyo, as your browser says" in Page(client.get("/tenants/")).text

    answer = client.post("/preferences/", {"time_zone": "Europe/Berlin"})

    assert (answer.status_code, answer["Location"]) == (302, "/preferences/")
    page = Page(client.get("/preferences/"))
    assert "Your preferences were saved." in page.text
    assert "Times in Europe/Berlin, as you chose" in page.text
    assert "The browser's: Asia/Tokyo" in page.text
    assert [found["value"] for found in page.all("option") if "selected" in found] == ["Europe/Berlin"]
    assert_clean(page)
    assert_accessible(page)
    live = Page(client.get(f"/operations/{active[1].id}/live/"))
    assert "times in Europe/Berlin" in live.text
    titles = [found["title"] for found in live.all("time")]
    assert titles
    assert all(" CET, " in title or " CEST, " in title for title in titles)
    assert timezone.get_current_timezone_name() == "UTC", "the zone ends with the request"


def test_nobody_said_a_zone(owner: Person, browse: Browse) -> None:
    client = browse(owner)
    assert "Times in UTC Preferences" in Page(client.get("/tenants/")).text
    client.cookies[ZONE_COOKIE] = "../../etc/passwd"
    assert "Times in UTC Preferences" in Page(client.get("/tenants/")).text
    User.objects.filter(pk=owner.user.pk).update(time_zone="Europe/Atlantis")
    assert "Times in UTC Preferences" in Page(client.get("/tenants/")).text


def test_each_person_has_their_own(owner: Person, teammate: Person, stranger: Person, browse: Browse) -> None:
    assert browse(teammate).post("/preferences/", {"time_zone": "Asia/Tokyo"}).status_code == 302
    assert browse(None).post("/preferences/", {"time_zone": "Asia/Tokyo"}).status_code == 302

    assert dict(User.objects.values_list("email", "time_zone")) == {
        "olivia@example.com": "",
        "tom@example.com": "Asia/Tokyo",
        "sam@example.org": "",
    }
    for other in (owner, stranger):
        assert "Asia/Tokyo, as you chose" not in Page(browse(other).get("/tenants/")).text
    assert "Times in Asia/Tokyo, as you chose" in Page(browse(teammate).get("/tenants/")).text


def test_a_change_is_audited_and_no_change_is_not(teammate: Person, browse: Browse) -> None:
    client = browse(teammate)
    for _ in range(2):
        client.post("/preferences/", {"time_zone": "Asia/Tokyo", "language": "de"})

    event = AuditEvent.objects.get(action="user.preferences_set")
    assert event.team_id == teammate.team.id
    assert event.actor == "user:tom@example.com"
    assert event.data["after"] == {"time_zone": "Asia/Tokyo", "language": "de"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("time_zone", "Europe/Atlantis", "is no time zone"), ("language", "tlh", "must be one of en, de")],
)
def test_what_is_not_offered_is_refused(
    owner: Person, browse: Browse, field: str, value: str, said: str
) -> None:
    with override_settings(USE_I18N=True, LANGUAGES=[("en", "English"), ("de", "German")]):
        page = Page(browse(owner).post("/preferences/", {field: value}))

    assert page.status == 422
    assert said in page.text
    assert page.all("select", name=field)[0].get("aria-invalid") == "true"
    owner.user.refresh_from_db()
    assert (owner.user.time_zone, owner.user.language) == ("", "")


def test_the_language_is_asked_for_where_there_are_two(owner: Person, browse: Browse) -> None:
    with override_settings(USE_I18N=True, LANGUAGES=[("en", "English")]):
        assert not Page(browse(owner).get("/preferences/")).all("select", name="language")
    with override_settings(USE_I18N=True, LANGUAGES=[("en", "English"), ("de", "German")]):
        assert Page(browse(owner).get("/preferences/")).all("select", name="language")


def test_the_saved_language_holds_for_pages_and_not_for_the_api(
    owner: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken: list[str] = []

    @contextmanager
    def override(language: str) -> Iterator[None]:
        spoken.append(language)
        yield
        spoken.append("over")

    monkeypatch.setattr("controlplane.portal.viewer.translation.override", override)
    owner.user.language = "de"

    def answer(path: str) -> HttpResponse:
        request = HttpRequest()
        request.path, request.user = path, owner.user
        done = ViewerMiddleware(lambda _: HttpResponse())(request)
        assert isinstance(done, HttpResponse)
        return done

    assert answer("/tenants/").headers["Content-Language"] == "de"
    assert spoken == ["de", "over"]
    assert "Content-Language" not in answer("/api/v1/tenants").headers
    with override_settings(LANGUAGES=[("en", "English")]):
        assert "Content-Language" not in answer("/tenants/").headers, "a language without words is not spoken"
    assert spoken == ["de", "over"]


async def test_what_is_streamed_asynchronously_has_the_viewers_zone_too(owner: Person) -> None:
    seen: list[str] = []

    async def view(request: HttpRequest) -> HttpResponse:
        seen.append(timezone.get_current_timezone_name())
        return HttpResponse()

    owner.user.time_zone = "Asia/Tokyo"
    request = HttpRequest()
    request.path, request.user = "/tenants/", owner.user
    answer = ViewerMiddleware(view)(request)
    assert inspect.isawaitable(answer)
    await answer

    assert seen == ["Asia/Tokyo"]
    assert timezone.get_current_timezone_name() == "UTC"


def test_a_page_is_in_the_language_of_who_looks(owner: Person, teammate: Person, browse: Browse) -> None:
    browse(teammate).post("/preferences/", {"language": "de"})

    german = browse(teammate).get("/preferences/", headers={"Accept-Language": "en"})
    assert Page(german).all("html", lang="de")
    assert german.headers["Content-Language"] == "de"
    assert Page(browse(owner).get("/preferences/", headers={"Accept-Language": "en"})).all("html", lang="en")
