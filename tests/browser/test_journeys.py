"""What people come to the portal for, from the first click to the last: without scripts, on a dark phone, by keyboard.

The engine is played (tests/portal/stories.py); tests/scenarios/test_portal_journeys.py goes such ways on a real one.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from controlplane.accounts import roles
from controlplane.accounts.models import ApiKey
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit, Visit
from tests.browser.test_portal import CONTRAST
from tests.portal import stories
from tests.support.people import Person, person_make

pytestmark = pytest.mark.browser

MODES: dict[str, dict[str, Any]] = {
    "no-script": {"java_script_enabled": False},
    "dark-phone": {
        "viewport": {"width": 375, "height": 812},
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
}
#: Without scripts a page that moves loads itself anew every four seconds.
MOVES_MS = 15_000
#: What lies beyond the edge without a part around it that scrolls.
OUT_OF_REACH = """() => [...document.querySelectorAll("main a, main button, main input, main select, main summary")]
  .filter((each) => each.checkVisibility() && each.type !== "hidden" && !each.closest(".table-scroll, .tabs, pre, nav"))
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
  .map((each) => each.textContent.trim() || each.id)"""


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MODES[request.param]


def checked(page: Page) -> Page:
    """The page, which fits its window and can be read."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{page.url} scrolls sideways"
    assert page.evaluate(OUT_OF_REACH) == [], page.url
    assert page.evaluate(CONTRAST) == [], page.url
    return page


def downloaded(page: Page, link: Locator) -> bytes:
    with page.expect_download() as waiting:
        link.click()
    return Path(waiting.value.path()).read_bytes()


def ended(operation: Operation) -> None:
    """The played worker takes it and carries it out."""
    operation = stories.claim(clock.now())
    *_, last = stories.apply(operation, clock.now())
    stories.settle(operation, last)


def test_a_second_person_approves(visit: OpenVisit, owner: Person, mode: dict[str, Any]) -> None:
    operation = stories.awaiting_approval(owner.principal, "acme", clock.now())[1]
    Operation.objects.filter(pk=operation.pk).update(second_person=True)
    ada = person_make("ada@example.com", owner.team, roles.OPERATOR)
    path = f"/operations/{operation.pk}/"

    here = visit(**mode)
    asked = here.sign_in(owner)
    asked.goto(here.address + path)
    expect(asked.locator("#op-outcome")).to_contain_text("may not approve it")
    assert asked.get_by_role("button", name="Approve and apply").count() == 0
    expect(asked.get_by_role("button", name="Reject")).to_be_visible()
    checked(asked)

    other = visit(**mode)
    page = other.sign_in(ada)
    page.goto(f"{other.address}/operations/?state=awaiting_approval")
    checked(page).get_by_role("link", name="Provision").click()
    checked(page).get_by_text("What an approval binds to").click()
    page.get_by_role("button", name="Approve and apply").click()
    expect(page.locator("#op-head")).to_contain_text("queued")

    expect(asked.locator("#op-log")).to_contain_text("approved by ada@example.com", timeout=MOVES_MS)
    ended(operation)
    expect(asked.get_by_role("heading", name="Acme is ready")).to_be_visible(timeout=MOVES_MS)
    expect(asked.locator("#op-side")).to_contain_text("Approved by")
    checked(asked)


def test_a_failure_is_read_and_tried_again(visit: OpenVisit, owner: Person, mode: dict[str, Any]) -> None:
    operation = stories.failed(owner.principal, "hooli", clock.now())[1]
    here = visit(**mode)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/?state=failed")
    checked(page).get_by_role("link", name="Provision").click()

    expect(page.get_by_role("heading", name=stories.ERROR["title"])).to_be_visible()
    expect(page.locator("#op-outcome")).to_contain_text(stories.ERROR["detail"])
    expect(page.locator("#op-outcome")).to_contain_text(f"freehold operations retry {operation.pk}")
    checked(page).get_by_role("link", name="pulumi_failed").click()
    page.wait_for_url("**/help/failures/#pulumi_failed")
    checked(page).go_back()
    page.get_by_role("button", name="Retry").click()

    expect(page.locator("#op-head")).to_contain_text("attempt 2")
    checked(page)
    operation.refresh_from_db()
    assert (operation.state, operation.attempt) == (states.QUEUED, 2)


@pytest.fixture
def used(owner: Person) -> Tenant:
    tenant, _ = stories.provisioned(owner.principal, "acme", clock.now(), name="Acme Corporation")
    now = clock.now()
    stories.used(tenant, [stories.model_call("acme", number, now) for number in range(5)], now)
    return tenant


def test_an_invoice_is_drafted_explained_and_taken_home(
    visit: OpenVisit, owner: Person, used: Tenant, mode: dict[str, Any]
) -> None:
    here = visit(**mode)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/billing/")
    checked(page).get_by_role("button", name="Draft this month's invoice").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Draft invoice")

    checked(page).get_by_title("Why is this line what it is?").filter(
        has_text=re.compile("tokens?", re.I)
    ).first.click()
    expect(page.get_by_role("heading", name="How it is computed")).to_be_visible()
    expect(page.get_by_role("region", name="Events")).to_contain_text("call-1")
    checked(page).get_by_role("link", name="Draft invoice").click()

    assert downloaded(page, page.get_by_role("link", name="PDF", exact=True)).startswith(b"%PDF")


def test_usage_is_taken_home_and_shown_to_the_customer(
    visit: OpenVisit, owner: Person, used: Tenant, mode: dict[str, Any]
) -> None:
    here = visit(**mode)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/usage/")
    assert downloaded(page, checked(page).get_by_role("link", name="PDF", exact=True)).startswith(b"%PDF")
    page.get_by_label("Label").fill("For their finance")
    page.get_by_role("button", name="Make a link").click()
    address = checked(page).locator("#issued-link").inner_text()
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("#links")).to_contain_text("For their finance")
    assert address not in page.content(), "it is shown once"

    customer = visit(**mode)
    shown = customer.open(re.sub(r"^https?://[^/]+", "", address))
    expect(shown.get_by_role("heading", level=1)).to_have_text("Acme Corporation")
    assert downloaded(shown, checked(shown).get_by_role("link", name="PDF")).startswith(b"%PDF")

    page.get_by_text("Revoke", exact=True).click()
    page.get_by_role("button", name="Yes, revoke").click()
    expect(page.locator("#links")).to_contain_text("revoked")
    shown.reload()
    expect(shown.locator("main")).not_to_contain_text("Acme Corporation")
    # The browser itself reports the refusal.
    customer.complaints.clear()


def test_a_key_is_shown_once(visit: OpenVisit, owner: Person, mode: dict[str, Any]) -> None:
    here = visit(**mode)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/keys/")
    page.get_by_label("Name", exact=True).fill("ci-pipeline")
    checked(page).get_by_role("button", name="Create key").click()
    token = checked(page).locator("#issued-key").inner_text()
    assert token.startswith("fh_")

    page.goto(f"{here.address}/keys/")
    assert token not in page.content()
    row = page.get_by_role("row").filter(has_text="ci-pipeline")
    row.get_by_text("Revoke", exact=True).click()
    row.get_by_role("button", name=re.compile("revoke", re.I)).click()
    expect(page.get_by_role("row").filter(has_text="ci-pipeline")).to_contain_text("revoked")
    assert ApiKey.objects.get(name="ci-pipeline").revoked_at is not None


FOCUSED = """() => {
  const at = document.activeElement;
  return [at.name, at.ariaLabel, at.textContent, at.id].filter(Boolean).join(" ").replace(/\\s+/g, " ").trim();
}"""


def reach(page: Page, what: str) -> None:
    """Tab until that has the focus, which can be seen."""
    passed = []
    for _ in range(120):
        page.keyboard.press("Tab")
        passed.append(page.evaluate(FOCUSED))
        if what in passed[-1]:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", what
            return
    raise AssertionError(f"Tab never comes to {what}: {passed}")


def test_from_the_form_to_the_tenant_by_keyboard_alone(visit: OpenVisit, owner: Person) -> None:
    here = visit()
    page = here.sign_in(owner)
    reach(page, "New tenant")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tenants/new/")
    assert page.evaluate("document.activeElement.id") == "name", "it can be written at once"
    page.keyboard.type("Acme")
    reach(page, "requires_approval")
    page.keyboard.press("Space")
    reach(page, "Create tenant")
    page.keyboard.press("Enter")
    page.wait_for_url("**/operations/**")

    operation = stories.claim(clock.now())
    stories.plan(operation, clock.now())
    stories.transitions.operation_await_approval(
        operation=operation, reason="It was asked for.", moved=[], now=clock.now()
    )
    expect(page.get_by_role("button", name="Approve and apply")).to_be_visible()
    reach(page, "Approve and apply")
    page.keyboard.press("Enter")
    expect(page.locator("#op-head")).to_contain_text("queued")
    ended(operation)
    expect(page.get_by_role("heading", name="Acme is ready")).to_be_visible()
    reach(page, "Open Acme")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Acme")


def test_a_key_is_issued_and_revoked_by_keyboard_alone(visit: OpenVisit, owner: Person) -> None:
    here: Visit = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/keys/")
    reach(page, "name")
    page.keyboard.type("ci-pipeline")
    reach(page, "Create key")
    page.keyboard.press("Enter")
    expect(page.locator("#issued-key")).to_be_visible()
    reach(page, "Copy API key")
    reach(page, "Revoke ci-pipeline")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("row").filter(has_text="ci-pipeline")).to_contain_text("revoked")
