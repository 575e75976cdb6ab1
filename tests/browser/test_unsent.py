"""What somebody wrote is not lost when its form is not taken, and a lost connection is said."""

import pytest
from playwright.sync_api import Page, expect

from controlplane.accounts.models import ApiKey
from controlplane.core import clock
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit
from tests.portal import stories
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.browser
BACK = "What you wrote is back. It was not sent."


def sign_in_again(page: Page, person: Person) -> None:
    page.get_by_label("E-mail").fill(person.user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def test_what_was_written_outlives_the_session(visit: OpenVisit, owner: Person) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/new/")
    page.get_by_label("Name", exact=True).fill("Lost Words")
    page.get_by_label("Contact e-mail").fill("ops@example.com")
    page.locator("input[name=plan][value=pro]").check()
    here.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Review resources and cost").click()

    expect(page.get_by_text("Your session had ended, so nothing was sent.")).to_be_visible()
    sign_in_again(page, owner)

    expect(page.get_by_text(BACK)).to_be_visible()
    assert page.url == f"{here.address}/tenants/new/"
    expect(page.get_by_label("Name", exact=True)).to_have_value("Lost Words")
    expect(page.get_by_label("Slug")).to_have_value("lost-words")
    expect(page.get_by_label("Contact e-mail")).to_have_value("ops@example.com")
    expect(page.locator("input[name=plan][value=pro]")).to_be_checked()
    # Once: another visit to the page begins anew.
    page.reload()
    expect(page.get_by_label("Name", exact=True)).to_have_value("")
    assert not Tenant.objects.exists()


def test_a_list_leads_to_the_sign_in_and_not_the_sign_in_into_the_list(
    visit: OpenVisit, owner: Person
) -> None:
    stories.provisioned(owner.principal, "acme", clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/")
    here.context.clear_cookies(name="sessionid")
    page.locator("#q").fill("acme")

    page.wait_for_url("**/account/login/?next=/tenants/")


def test_without_a_connection_nothing_is_sent_or_lost(visit: OpenVisit, owner: Person) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/keys/")
    said = page.get_by_text("No connection to Freehold.")
    expect(said).to_be_hidden()
    page.get_by_label("Name", exact=True).fill("night job")
    here.context.set_offline(True)

    expect(said).to_be_visible()
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("night job")
    here.context.set_offline(False)
    expect(said).to_be_hidden()
    assert not ApiKey.objects.filter(name="night job").exists()


@pytest.mark.parametrize("width", [320, 375])
def test_a_name_without_a_space_fits_a_phone(visit: OpenVisit, owner: Person, width: int) -> None:
    stories.provisioned(owner.principal, "acme", clock.now(), name="Donaudampfschifffahrt" * 9)
    labels = {"k" * 40: "v" * 60}
    Tenant.objects.update(contact_email=f"{'a' * 60}@example.com", labels=labels)
    here = visit(viewport={"width": width, "height": 640})
    page = here.sign_in(owner)

    tabs = ("", "usage/", "budgets/", "customers/")
    for path in ("/", "/tenants/", "/search/?q=donau", *(f"/tenants/acme/{tab}" for tab in tabs)):
        page.goto(here.address + path)
        assert page.evaluate("document.documentElement.scrollWidth") == width, path
    # The bar at the bottom shows all of its buttons.
    ends = page.locator(".who-acts .button").last.bounding_box()
    assert ends is not None
    assert ends["x"] + ends["width"] <= width
