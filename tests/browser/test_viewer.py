"""What belongs to whoever looks, in a real browser: the zone, the palette, several tenants, and no scripts at all."""

import os
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect

from controlplane.accounts.models import SavedView
from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit, Visit
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser


@pytest.fixture
def fleet(owner: Person) -> datetime:
    now = clock.now()
    for slug, name in (("acme", "Acme Corporation"), ("hooli", "Hooli"), ("umbrella", "Umbrella")):
        stories.provisioned(owner.principal, slug, now, name=name)
    return now


def picture(page: Page, name: str) -> None:
    """For a look by eye, where FREEHOLD_LOOKS names a folder."""
    if folder := os.environ.get("FREEHOLD_LOOKS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_browsers_zone_is_used_from_the_second_page_on(
    visit: OpenVisit, owner: Person, fleet: datetime
) -> None:
    here = visit(timezone_id="Asia/Tokyo")
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/{Operation.objects.get(tenant__slug='acme').pk}/")

    expect(page.get_by_text("Times in Asia/Tokyo, as your browser says")).to_be_visible()
    shown = page.locator("#op-log time").first
    moment = datetime.fromisoformat(shown.get_attribute("datetime") or "")
    assert shown.inner_text() == f"{moment.astimezone(ZoneInfo('Asia/Tokyo')):%H:%M:%S}"
    assert f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" in (shown.get_attribute("title") or "")
    picture(page, "operation")

    page.get_by_role("contentinfo").get_by_role("link", name="Preferences").click()
    picture(page, "preferences")
    page.get_by_label("Time zone").select_option("Europe/Berlin")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Times in Europe/Berlin, as you chose")).to_be_visible()


def test_the_palette_goes_anywhere_by_keys_alone(visit: OpenVisit, owner: Person, fleet: datetime) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/")
    page.get_by_label("State").focus()
    page.keyboard.press("Control+k")

    field = page.get_by_role("combobox", name="Tenant, operation, page or action")
    expect(field).to_be_focused()
    expect(page.get_by_role("option", name="Onboard a tenant")).to_be_visible()
    picture(page, "palette")
    page.keyboard.type("acme")
    options = page.locator("#palette-hits [role=option]")
    expect(options).to_have_count(1)
    expect(options.first).to_have_attribute("aria-selected", "true")
    expect(field).to_have_attribute("aria-activedescendant", options.first.get_attribute("id") or "")
    page.keyboard.type(" b")
    expect(options).to_have_count(2)
    page.keyboard.press("ArrowDown")
    expect(options.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{here.address}/tenants/acme/billing/")


def test_the_palette_gives_the_focus_back_and_enter_on_nothing_asks_the_page(
    visit: OpenVisit, owner: Person, fleet: datetime
) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/")
    page.get_by_label("State").focus()
    page.keyboard.press("Meta+k")
    field = page.get_by_role("combobox", name="Tenant, operation, page or action")
    expect(field).to_be_focused()
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(page.get_by_label("State")).to_be_focused()

    page.get_by_role("link", name="Go to").click()
    page.keyboard.type("no such thing")
    expect(page.get_by_text("Nothing matches. Tenants are found")).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{here.address}/search/?q=no+such+thing")
    picture(page, "search-empty")


def test_a_question_mark_shows_the_keys_and_is_a_letter_in_a_field(
    visit: OpenVisit, owner: Person, fleet: datetime
) -> None:
    here = visit()
    page = here.sign_in(owner)
    help_for_keys = page.get_by_role("dialog", name="Keyboard")
    page.keyboard.press("/")
    page.keyboard.type("?")
    expect(page.get_by_label("Find a tenant")).to_have_value("?")
    expect(help_for_keys).to_be_hidden()
    page.get_by_role("heading", level=1).click()
    page.keyboard.press("?")
    expect(help_for_keys).to_be_visible()
    picture(page, "keyboard")
    page.keyboard.press("Escape")
    expect(help_for_keys).to_be_hidden()


def test_rows_are_ticked_and_a_click_on_a_row_still_opens_it(
    visit: OpenVisit, owner: Person, fleet: datetime
) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/")
    page.get_by_label("All on this page").check()
    expect(page.get_by_label("Choose Hooli")).to_be_checked()
    page.get_by_label("Choose Hooli").uncheck()
    picture(page, "tenants")
    page.get_by_label("With selected").select_option("suspend")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("2 of 2 would take it now")).to_be_visible()
    picture(page, "bulk")
    page.get_by_label("Agents of these tenants may go silent").check()
    page.get_by_role("button", name="Suspend").click()
    expect(page.get_by_text("Asked by")).to_be_visible()
    picture(page, "bulk-outcome")
    assert set(Operation.objects.filter(kind="suspend").values_list("tenant__slug", flat=True)) == {
        "acme",
        "umbrella",
    }
    page.goto(f"{here.address}/tenants/")
    page.get_by_role("link", name="Hooli").click()
    page.wait_for_url(f"{here.address}/tenants/hooli/")


def test_all_of_it_without_scripts_on_a_phone(visit: OpenVisit, owner: Person, fleet: datetime) -> None:
    here = visit(java_script_enabled=False, viewport={"width": 375, "height": 720})
    page = here.sign_in(owner)
    expect(page.get_by_text("Times in UTC", exact=True)).to_be_visible()
    page.get_by_role("link", name="Search everything").click()
    page.get_by_role("searchbox", name="Search", exact=True).fill("acme")
    page.get_by_role("button", name="Search").click()
    picture(page, "phone-search")
    page.get_by_role("main").get_by_role("link", name="Acme Corporation").click()
    page.wait_for_url(f"{here.address}/tenants/acme/")

    page.goto(f"{here.address}/tenants/?lifecycle=active&sort=name")
    picture(page, "phone-tenants")
    page.get_by_role("link", name="Save this view").click()
    page.get_by_label("Name").fill("Alive")
    picture(page, "phone-save-view")
    page.get_by_role("button", name="Save the view").click()
    page.wait_for_url(f"{here.address}/tenants/?lifecycle=active&sort=name")
    expect(page.get_by_role("link", name="Alive")).to_be_visible()
    page.get_by_role("link", name="Manage views").click()
    page.get_by_role("button", name="Delete Alive").click()
    expect(page.get_by_text("No saved views yet")).to_be_visible()
    assert not SavedView.objects.exists()

    page.goto(f"{here.address}/tenants/")
    page.get_by_label("Choose Hooli").check()
    page.get_by_label("With selected").select_option("label")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Label").fill("tier")
    page.get_by_label("Value").fill("gold")
    page.get_by_role("button", name="Look at what it does").click()
    expect(page.get_by_text("tier=gold")).to_be_visible()
    picture(page, "phone-label")
    page.get_by_role("button", name="Set a label").click()
    expect(page.get_by_text("changed", exact=True).first).to_be_visible()
    assert Tenant.objects.get(slug="hooli").labels == {"tier": "gold"}
    _fits(here, page)


def _fits(here: Visit, page: Page) -> None:
    """No page is wider than the phone."""
    for path in ("/preferences/", "/views/", "/search/", "/tenants/", "/bulk/tenants/"):
        page.goto(here.address + path)
        body = page.locator("body").bounding_box()
        assert body is not None
        assert body["width"] <= 375, path
