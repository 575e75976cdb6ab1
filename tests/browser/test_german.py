"""German in the browser: longer words break no page, and scripts say what the page says."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from controlplane.core import clock
from tests.browser.conftest import OpenVisit, Visit
from tests.browser.test_every_page import TOO_WIDE
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser

#: Where pictures of the pages go, for people to look at; nowhere when it is not set.
PICTURES = os.environ.get("FREEHOLD_GERMAN_PICTURES", "")
PATHS = (
    "/",
    "/tenants/",
    "/tenants/new/",
    "/operations/",
    "/access/",
    "/audit/",
    "/keys/",
    "/usage/",
    "/budgets/new/",
    "/margin/",
    "/invoices/",
    "/tenants/acme/",
    *(f"/tenants/acme/{tab}/" for tab in ("settings", "snapshots", "credits", "cost", "usage", "billing")),
)


@pytest.fixture
def lived_in(owner: Person) -> str:
    """The path of an operation that waits for an approval."""
    now = clock.now()
    tenant, _ = stories.provisioned(owner.principal, "acme", now, name="Acme Corporation")
    stories.used(tenant, [stories.model_call("acme", number, now) for number in range(5)], now)
    stories.failed(owner.principal, "hooli", now)
    _, waiting = stories.awaiting_approval(owner.principal, "initech", now)
    return f"/operations/{waiting.pk}/"


def german(here: Visit, person: Person) -> Page:
    page = here.sign_in(person)
    page.set_default_navigation_timeout(60_000)
    cookie = {"name": "django_language", "value": "de", "url": here.address}
    here.context.add_cookies([cookie])  # type: ignore[list-item]
    return page


@pytest.mark.timeout(240)
@pytest.mark.parametrize("width", [375, 1280])
def test_longer_words_break_no_page(visit: OpenVisit, owner: Person, lived_in: str, width: int) -> None:
    here = visit(viewport={"width": width, "height": 800})
    page = german(here, owner)
    wide = {}
    for path in (*PATHS, lived_in):
        page.goto(here.address + path)
        assert page.locator("html").get_attribute("lang") == "de"
        if PICTURES:
            name = path.strip("/").replace("/", "-") or "overview"
            page.screenshot(path=Path(PICTURES) / f"{name}-{width}.png", full_page=True)
        if found := page.evaluate(TOO_WIDE):
            wide[path] = found

    assert wide == {}


def test_scripts_keep_times_in_the_language_of_the_page(
    visit: OpenVisit, owner: Person, lived_in: str
) -> None:
    here = visit()
    page = german(here, owner)
    page.goto(here.address + "/operations/")
    page.evaluate(
        """() => {
          const time = document.querySelector("time[data-relative]");
          time.dateTime = new Date(Date.now() - 2 * 86400e3).toISOString();
          time.id = "moved";
        }"""
    )
    expect(page.locator("#moved")).to_have_text("vor 2 Tagen", timeout=20_000)
