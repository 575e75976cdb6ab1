"""Paper, forced colours, more contrast and a window of a few lines, in a real browser."""

import pytest
from playwright.sync_api import Locator, expect

from controlplane.core import clock
from tests.browser.conftest import OpenVisit
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser


def style(element: Locator, name: str) -> str:
    return str(element.evaluate(f"(one) => getComputedStyle(one).{name}"))


@pytest.fixture(autouse=True)
def acme(transactional_db: None, owner: Person) -> None:
    stories.provisioned(owner.principal, "acme", clock.now())


def test_paper_shows_the_page_and_not_its_frame(visit: OpenVisit, owner: Person) -> None:
    here = visit(color_scheme="dark")
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/billing/")
    page.emulate_media(media="print")

    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("Total so far")).to_be_visible()
    for gone in (".side", ".top", ".tabs", "main .button"):
        expect(page.locator(gone).first).to_be_hidden()
    assert style(page.locator("body"), "colorScheme") == "light"


def test_forced_colours_tell_what_is_current(visit: OpenVisit, owner: Person) -> None:
    here = visit(forced_colors="active")
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/")

    current, other = page.locator(".tabs a[aria-current]"), page.locator(".tabs a:not([aria-current])").first
    assert style(current, "borderBottomColor") != style(other, "borderBottomColor")
    assert style(page.locator(".nav > a[aria-current]"), "outlineStyle") == "solid"


def test_more_contrast_has_stronger_lines(visit: OpenVisit, owner: Person) -> None:
    usual, strong = visit(), visit(contrast="more")
    colours = []
    for here in (usual, strong):
        page = here.sign_in(owner)
        page.goto(f"{here.address}/tenants/")
        colours.append(style(page.locator(".top"), "borderBottomColor"))
    assert colours[0] != colours[1]


def test_a_window_of_a_few_lines_is_left_to_the_page(visit: OpenVisit, owner: Person) -> None:
    here = visit(viewport={"width": 320, "height": 256})
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/")

    assert style(page.locator(".top"), "position") == "static"
    assert style(page.locator(".side"), "position") == "static"
