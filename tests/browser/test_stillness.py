"""No page moves by itself: a font, a script or a minute that comes later pushes nothing aside."""

from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client
from playwright.sync_api import Page

from controlplane.accounts.invitations import invitation_accept
from controlplane.core import clock
from tests.browser.conftest import OpenVisit, Visit
from tests.browser.test_every_page import CUSTOMER, RUN, crawl
from tests.portal import stories
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.browser

#: Watched from before the first byte: each shift with the elements it moved. Chromium forgives what a click moves.
WATCH = """() => {
  window.moved = [];
  new PerformanceObserver((list) => {
    for (const shift of list.getEntries()) {
      if (shift.hadRecentInput) continue;
      const names = shift.sources.map(({ node }) => {
        const element = node?.nodeType === 1 ? node : node?.parentElement;
        return element ? `${element.tagName}.${element.className} ${element.textContent.trim().slice(0, 40)}` : "?";
      });
      window.moved.push(`${shift.value.toFixed(5)} ${names.join(" | ")}`);
    }
  }).observe({ type: "layout-shift", buffered: true });
}"""
#: Two frames later everything that was to be reported has been.
MOVED = """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() =>
  setTimeout(() => done(window.moved)))))"""
#: Lists further on, and with nothing found. The crawl opens a list once.
FURTHER = ("/tenants/?page=2", "/tenants/?q=nobody", "/operations/?page=2", "/audit/?page=2")
#: The clock of the pages goes on by so much, so that each of them has to write its times anew.
LATER = timedelta(minutes=20)
TICK = """() => {
  const real = Date.now;
  Date.now = () => real() + %d;
  return new Promise((done) => setTimeout(done, 1100));
}"""


@pytest.fixture
def lived_in(owner: Person) -> str:
    """The month that has usage."""
    now = clock.now() - timedelta(minutes=12)
    tenant, _ = stories.provisioned(owner.principal, "acme", now, name="Acme Corporation")
    stories.used(tenant, [stories.model_call("acme", number, now) for number in range(5)], now)
    stories.invoiced(tenant)
    stories.failed(owner.principal, "hooli", now)
    stories.awaiting_approval(owner.principal, "initech", now)
    for number in range(30):
        stories.request(owner.principal, f"customer-{number:02d}", now - timedelta(minutes=19 * number))
    return f"{now:%Y-%m}"


def still(here: Visit, page: Page, starts: list[str], further: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Opens every page that links lead to, and what is further on; nothing is cached. What moved on which."""
    page.add_init_script(f"({WATCH})()")
    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    moved: dict[str, list[str]] = {}

    def look(name: str) -> None:
        page.evaluate(TICK % (LATER.total_seconds() * 1000))
        if found := page.evaluate(MOVED):
            moved[name] = found

    crawl(here, page, starts=starts, each=look)
    for path in further:
        page.goto(here.address + path)
        look(path)
    return moved


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("width", "language"), [(1280, "en"), (375, "de")])
def test_nothing_moves_by_itself(
    visit: OpenVisit, owner: Person, lived_in: str, width: int, language: str
) -> None:
    draft = owner.api().post("/invoices", {"tenant": "acme", "period": lived_in}).json()["id"]
    owner.api().post("/budgets", {"name": "Cap", "amount": "100"})
    link = owner.api().post("/tenants/acme/report-links", {"scope": "all"}).json()["url"]
    here = visit(viewport={"width": width, "height": 800})
    page = here.sign_in(owner)
    here.context.add_cookies([{"name": "django_language", "value": language, "url": here.address}])
    starts = ["/", RUN, "/tenants/acme/playground/", "/tenants/acme/start/", f"/invoices/{draft}/"]

    moved = still(here, page, [*starts, urlsplit(link).path], FURTHER)

    token = owner.api().post("/invitations", CUSTOMER).json()["url"].split("/")[-2]
    carla = invitation_accept(token=token, name="Carla", password=PASSWORD, now=clock.now())
    client = Client()
    client.force_login(carla)
    there = visit(viewport={"width": width, "height": 800})
    session = client.cookies["sessionid"].value
    there.context.add_cookies([{"name": "sessionid", "value": session, "url": there.address}])
    inside = there.open("/account/login/")
    moved |= still(there, inside, ["/customer/usage/"])
    assert moved == {}, "\n".join(f"{name}: {shift}" for name, shifts in moved.items() for shift in shifts)
