"""The portal in a real browser: looks, keyboard, phone, live timeline, and life without scripts."""

import re
import time

import pytest
from playwright.sync_api import Page, expect

from controlplane.core import clock
from controlplane.operations.models import Operation
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/tenants/",
    "/tenants/new/",
    "/tenants/acme/",
    "/tenants/acme/resources/",
    "/tenants/acme/agents/",
    "/tenants/acme/playground/",
    "/tenants/acme/operations/",
    "/tenants/acme/usage/",
    "/tenants/acme/budgets/",
    "/tenants/acme/budgets/new/",
    "/tenants/acme/cost/",
    "/tenants/acme/billing/",
    "/tenants/acme/credits/",
    "/tenants/acme/settings/",
    "/operations/",
    "/usage/",
    "/budgets/",
    "/margin/",
    "/keys/",
    "/audit/",
    "/access/",
)
#: Contrast of each visible text with the background it is on, as WCAG computes it.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b]
    .map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect();
    const shut = element.closest("[disabled], [aria-disabled=true], .sr, .top, option");
    if (!own || !box.width || shut || getComputedStyle(element).visibility === "hidden") continue;
    const [a, b] = [luminance(rgba(getComputedStyle(element).color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const text = element.textContent.trim().slice(0, 30);
    if (ratio < 4.5) poor.push(`${element.className || element.tagName} ${text} ${ratio.toFixed(2)}`);
  }
  return poor;
}"""
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, input, select, summary")]
  .filter((e) => e.checkVisibility() && e.type !== "hidden")
  .filter((e) => !e.closest("p, td, th, li, dd, h1, .sr, .skip, .row.between, label"))
  .map((e) => [e.textContent.trim() || e.ariaLabel || e.id, e.getBoundingClientRect()])
  .filter(([, box]) => box.width && Math.min(box.width, box.height) < 23.5)
  .map(([text, box]) => `${text} ${box.width.toFixed(0)}x${box.height.toFixed(0)}`)"""


@pytest.fixture
def acme_active(owner: Person) -> Tenant:
    tenant, _ = stories.provisioned(owner.principal, "acme", clock.now(), name="Acme Corporation")
    later = clock.now()
    stories.used(tenant, [stories.model_call("acme", number, later) for number in range(5)], later)
    return tenant


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_readable(visit: OpenVisit, owner: Person, acme_active: Tenant, scheme: str) -> None:
    here = visit(color_scheme=scheme)
    page = here.sign_in(owner)
    failed = stories.failed(owner.principal, "hooli", clock.now())[1]
    poor: dict[str, list[str]] = {}
    for path in (*PAGES, f"/operations/{failed.id}/"):
        page.goto(here.address + path)
        if found := [*page.evaluate(CONTRAST), *page.evaluate(SMALL_TARGETS)]:
            poor[path] = found
    assert poor == {}


def test_the_theme_is_switched_and_kept(visit: OpenVisit, owner: Person) -> None:
    here = visit(color_scheme="light")
    page = here.sign_in(owner)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")

    page.get_by_role("button", name="Switch between light and dark").click()
    after = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert after != before
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == after
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_a_phone_scrolls_one_way_only(visit: OpenVisit, owner: Person, acme_active: Tenant) -> None:
    here = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = here.sign_in(owner)
    failed = stories.failed(owner.principal, "hooli", clock.now())[1]
    wide = []
    for path in (*PAGES, f"/operations/{failed.id}/"):
        page.goto(here.address + path)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert wide == []
    navigation = page.get_by_role("navigation", name="Main").bounding_box()
    assert navigation is not None
    assert navigation["y"] > 600, "on a phone the navigation is at the bottom"


def test_the_keyboard_reaches_everything_in_order(
    visit: OpenVisit, owner: Person, acme_active: Tenant
) -> None:
    page = visit().sign_in(owner)

    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "(document.activeElement.ariaLabel || document.activeElement.textContent.trim()"
                " || document.activeElement.id).replace(/\\s+/g, ' ')"
            )
        )
        ring = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert ring == "solid", reached[-1]
        if reached[-1] == "New tenant":
            break
    assert reached[:4] == ["Skip to the content", "Freehold", "Overview", "Tenants"]
    assert reached.index("New tenant") > reached.index("API keys")

    page.locator("body").press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("acme")
    page.keyboard.press("Enter")
    page.wait_for_url("**/tenants/?q=acme")
    expect(page.locator("#tenants")).to_contain_text("Acme Corporation")


def test_filters_swap_the_table_and_the_url_follows(
    visit: OpenVisit, owner: Person, acme_active: Tenant
) -> None:
    stories.failed(owner.principal, "hooli", clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/")

    page.get_by_label("Slug or name").fill("hoo")
    expect(page.locator("#tenants tbody tr")).to_have_count(1)
    page.wait_for_url(re.compile(r"q=hoo"))
    assert page.evaluate("document.activeElement.id") == "q", "the field keeps the focus"
    page.get_by_label("Lifecycle").select_option("active")
    expect(page.locator("#tenants")).to_contain_text("No tenant matches")
    page.go_back()
    expect(page.locator("#tenants tbody tr")).to_have_count(1)


def test_onboarding_suggests_a_slug_and_leads_to_the_live_page(visit: OpenVisit, owner: Person) -> None:
    page = visit().sign_in(owner)
    page.get_by_role("link", name="New tenant").first.click()

    page.get_by_label("Name", exact=True).fill("Müller & Söhne GmbH")
    expect(page.get_by_label("Slug")).to_have_value("muller-sohne-gmbh")
    page.get_by_label("Slug").fill("mueller")
    page.get_by_label("Name", exact=True).fill("Müller")
    expect(page.get_by_label("Slug")).to_have_value("mueller")
    page.get_by_text("Pro", exact=True).click()
    page.get_by_role("button", name="Create tenant").click()

    page.wait_for_url("**/operations/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("mueller")
    assert Tenant.objects.get(slug="mueller").plan == "pro"


def test_the_timeline_moves_by_itself_and_ends_by_itself(visit: OpenVisit, owner: Person) -> None:
    tenant, queued = stories.request(owner.principal, "acme", clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/{queued.id}/")
    expect(page.locator("[data-live-state]")).to_have_text("live")

    operation = stories.claim(clock.now())
    stories.plan(operation, clock.now())
    expect(page.locator("#op-resources tbody tr")).to_have_count(len(stories.RESOURCES))
    story = stories.apply(operation, clock.now())
    for _ in range(8):
        next(story)
    expect(page.locator(".steps")).to_contain_text("Apply it")
    page.get_by_role("button", name="Cancel this operation").focus()
    latencies = []
    for _ in range(3):
        next(story)
        done = next(story)
        begun = time.perf_counter()
        number = Operation.objects.get(pk=operation.pk).progress_done
        expect(page.locator("#op-head")).to_contain_text(f"{number} of {len(stories.RESOURCES)} resources")
        latencies.append(time.perf_counter() - begun)
    assert min(latencies) < 1.0
    assert "Cancel" in page.evaluate("document.activeElement.textContent"), "the focus stays where it was"
    for done in story:
        last = done
    stories.settle(operation, last)

    expect(page.get_by_role("heading", name="Acme is ready")).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_count(0)
    expect(page).to_have_title(re.compile("succeeded"))
    ids = page.locator("#op-log > li").evaluate_all("rows => rows.map((row) => row.id)")
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids, key=lambda name: int(name.removeprefix("event-")))
    page.reload()
    assert page.locator("#op-log > li").evaluate_all("rows => rows.map((row) => row.id)") == ids
    page.get_by_role("link", name="Open Acme").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Acme")
    assert tenant.slug in page.url


def test_a_lost_stream_is_said_and_polled_around(visit: OpenVisit, owner: Person) -> None:
    _, queued = stories.request(owner.principal, "acme", clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.route("**/events?**", lambda route: route.abort())
    page.goto(f"{here.address}/operations/{queued.id}/")

    expect(page.locator("[data-live-state]")).to_have_text(re.compile("reconnecting|polling"))
    stories.plan(stories.claim(clock.now()), clock.now())
    expect(page.locator("#op-resources tbody tr")).to_have_count(len(stories.RESOURCES), timeout=20_000)
    # The refused requests are what this test is about.
    here.complaints[:] = [text for text in here.complaints if "ERR_FAILED" not in text]


def test_a_hidden_tab_holds_no_stream(visit: OpenVisit, owner: Person) -> None:
    _, queued = stories.request(owner.principal, "acme", clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/{queued.id}/")
    expect(page.locator("[data-live-state]")).to_have_text("live")
    hide(page, True)
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url) if "/events" in request.url else None)

    stories.plan(stories.claim(clock.now()), clock.now())
    page.wait_for_timeout(700)
    assert page.locator("#op-resources tbody tr").count() == 0

    hide(page, False)
    expect(page.locator("#op-resources tbody tr")).to_have_count(len(stories.RESOURCES))
    assert len(streams) == 1
    assert re.search(r"cursor=[1-9]\d*$", streams[0]), "it goes on from the last event it has"


def hide(page: Page, hidden: bool) -> None:
    """Chromium without a window is never hidden; the page is told so."""
    page.evaluate(
        """(hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_deleting_needs_the_slug_typed_out(visit: OpenVisit, owner: Person, acme_active: Tenant) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/settings/")
    button = page.get_by_role("button", name="Delete acme")

    expect(button).to_be_disabled()
    page.get_by_label("Type acme to confirm").fill("acme")
    button.click()

    page.wait_for_url("**/operations/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete acme")


def test_without_scripts_onboarding_and_following_work(visit: OpenVisit, owner: Person) -> None:
    here = visit(java_script_enabled=False)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/new/")
    page.get_by_label("Name", exact=True).fill("Acme")
    page.get_by_label("Slug").fill("Not a slug")
    page.get_by_role("button", name="Create tenant").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was created yet")
    here.complaints[:] = [text for text in here.complaints if "422" not in text]
    page.get_by_label("Slug").fill("acme")
    page.get_by_role("button", name="Create tenant").click()

    page.wait_for_url("**/operations/**")
    expect(page.get_by_role("heading", level=1)).to_contain_text("acme")
    stories.plan(stories.claim(clock.now()), clock.now())
    expect(page.locator("#op-resources tbody tr")).to_have_count(len(stories.RESOURCES), timeout=15_000)


def test_copying_an_id(visit: OpenVisit, owner: Person, acme_active: Tenant) -> None:
    here = visit(permissions=["clipboard-read", "clipboard-write"])
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/")

    page.get_by_role("button", name="Copy runtime URL").click()

    assert page.evaluate("navigator.clipboard.readText()") == "http://127.0.0.1:21003"
