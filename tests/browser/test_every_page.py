"""Every page there is, found by following links, in both languages and both themes: axe has no finding, nothing is
wider than the narrowest phone, and the browser refuses nothing of it.

That the content security policy was kept is asserted by the fixture `visit`: a refusal is a complaint of the console.
"""

import re
from datetime import datetime
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from django.urls import resolve
from django.urls.exceptions import Resolver404
from django.utils.translation import gettext, override
from playwright.sync_api import Page

from controlplane.accounts.invitations import invitation_accept
from controlplane.core import clock
from controlplane.portal.urls import urlpatterns
from tests.browser.conftest import OpenVisit, Visit
from tests.portal import stories
from tests.support.people import PASSWORD, Person

pytestmark = pytest.mark.browser

#: Routes that are no page: they take a form, answer with a fragment or a file, or lead elsewhere.
NO_PAGES = frozenset(
    {
        "audit-check", "audit-export", "budget-delete", "customer-invoice-file", "customer-usage-file",
        "invitation-again", "invitation-revoke", "invoice-draft", "invoice-verb", "key-revoke", "key-rotate",
        "margin-file", "member-change", "member-remove", "operation-live", "operation-verb", "playground-say",
        "playground-stop", "playground-stream", "report-schedule-new", "report-schedule-verb", "saved-view-delete",
        "search-hits", "shared-invoice-file", "shared-usage-file", "tenant-budget-delete", "tenant-credentials",
        "tenant-credit-void", "tenant-delete", "tenant-details", "tenant-draft", "tenant-operate", "tenant-protection",
        "tenant-report-link-new", "tenant-report-link-revoke", "tenant-report-schedule-new",
        "tenant-report-schedule-verb", "tenant-run-content", "tenant-snapshot-delete", "tenant-snapshot-restore",
        "tenant-snapshot-take", "tenants-file",
    }
)  # fmt: skip
#: Of a run that no runtime here has.
RUN = "/tenants/acme/runs/00000000-0000-7000-8000-000000000000/00000000-0000-7000-8000-000000000000/"
CUSTOMER = {"email": "carla@acme.example", "role": "customer", "tenants": ["acme"]}
#: What all findings of axe are about; the default leaves its experimental rules out.
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
#: What of that a theme can change. A page is loaded once, and looked at for these in its other theme.
OF_THEMES = ["color-contrast", "link-in-text-block"]
#: What of that a narrow window can change.
OF_WIDTHS = ["target-size", "scrollable-region-focusable"]
WIDTHS = (375, 320)
#: What is wider than the window without lying in something that scrolls.
TOO_WIDE = """() => document.documentElement.scrollWidth > document.documentElement.clientWidth
  ? `${document.documentElement.scrollWidth} of ${document.documentElement.clientWidth}` : ''"""
LONG = "Internationale Gesellschaft für angewandte Agentenforschung"
LINKS = "() => [...document.querySelectorAll('a[href]')].map((link) => link.href)"


@pytest.fixture
def lived_in(owner: Person) -> datetime:
    """Something of everything that a page can show."""
    now = clock.now()
    tenant, _ = stories.provisioned(owner.principal, "acme", now, name="Acme Corporation")
    stories.used(tenant, [stories.model_call("acme", number, now) for number in range(5)], now)
    stories.invoiced(tenant)
    stories.failed(owner.principal, "hooli", now)
    stories.awaiting_approval(owner.principal, "initech", now)
    stories.request(owner.principal, "umbrella", now, name=LONG)
    return now


def route_of(path: str) -> str:
    """The portal's name of what lies at the path; empty for what is not the portal's."""
    try:
        found = resolve(path)
    except Resolver404:
        return ""
    return found.url_name or "" if found.app_names == ["portal"] else ""


def crawl(here: Visit, page: Page, *, starts: list[str], each: object = None) -> dict[str, str]:
    """One path for each page that links lead to. A page is opened once, whatever its query or its subject."""
    waiting, found = list(starts), dict[str, str]()
    while waiting:
        path = waiting.pop(0)
        name = route_of(path)
        if not name or name in NO_PAGES or name in found:
            continue
        page.goto(here.address + path)
        found[name] = path
        if callable(each):
            each(name)
        for link in page.evaluate(LINKS):
            parts = urlsplit(link)
            if f"{parts.scheme}://{parts.netloc}" == here.address:
                waiting.append(parts.path)
    return found


class Looker:
    """Looks at pages as they stand, wide and narrow, light and dark."""

    def __init__(self) -> None:
        self._axe = Axe()
        self.findings: dict[str, list[str]] = {}

    def look(self, name: str, page: Page) -> None:
        wrong = self._run(page, {"runOnly": TAGS})
        page.emulate_media(color_scheme="dark")
        wrong += self._run(page, {"runOnly": {"type": "rule", "values": OF_THEMES}})
        page.emulate_media(color_scheme="light")
        wide = page.viewport_size
        assert wide is not None
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            if found := page.evaluate(TOO_WIDE):
                wrong.append(f"wider than the window: {found}")
        wrong += self._run(page, {"runOnly": {"type": "rule", "values": OF_WIDTHS}})
        page.set_viewport_size(wide)
        if wrong:
            self.findings[name] = wrong

    def _run(self, page: Page, options: dict[str, object]) -> list[str]:
        return [
            f"{rule['id']}: {node['target']} {node['failureSummary']}"
            for rule in self._axe.run(page, options=options).response["violations"]
            for node in rule["nodes"]
        ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("language", ["en", "de"])
def test_no_page_has_a_finding(visit: OpenVisit, owner: Person, lived_in: datetime, language: str) -> None:
    here = visit(color_scheme="light")
    page = here.sign_in(owner)
    here.context.add_cookies([{"name": "django_language", "value": language, "url": here.address}])
    looker = Looker()

    def _(text: str) -> str:
        with override(language):
            return gettext(text)

    def look(name: str, page: Page = page) -> None:
        looker.look(name, page)

    draft = owner.api().post("/invoices", {"tenant": "acme", "period": f"{lived_in:%Y-%m}"})
    assert draft.status_code == 201, draft.content
    link = owner.api().post("/tenants/acme/report-links", {"scope": "all"}).json()["url"]
    for path in ("/budgets", "/tenants/acme/budgets"):
        made = owner.api().post(path, {"name": "Cap", "amount": "100"})
        assert made.status_code == 201, made.content
    invited = owner.api().post("/invitations", {"email": "grace@example.com", "role": "viewer"})
    assert invited.status_code == 201, invited.content
    # A runtime that answers would lead to the run and to the playground.
    starts = [
        "/",
        RUN,
        "/tenants/acme/playground/",
        "/tenants/acme/start/",
        *(urlsplit(url).path for url in (link, invited.json()["url"])),
    ]
    found = crawl(here, page, starts=[*starts, f"/invoices/{draft.json()['id']}/"], each=look)

    page.goto(f"{here.address}/tenants/new/?name=Newco&slug=newco")
    page.get_by_role("button", name=_("Review resources and cost")).click()
    page.get_by_role("heading", name="Newco").wait_for()
    look("tenant-review")

    page.goto(f"{here.address}/tenants/?lifecycle=active")
    page.get_by_role("link", name=_("Save this view")).click()
    look("saved-view")
    page.goto(f"{here.address}/tenants/")
    page.get_by_label(_("Choose %(name)s") % {"name": "Acme Corporation"}).check()
    page.get_by_label(_("With selected")).select_option("refresh")
    page.get_by_role("button", name=_("Go on")).click()
    look("tenants-bulk")
    page.get_by_role("button", name=_("Refresh the state")).click()
    page.get_by_role("heading", name=_("Refresh the state")).wait_for()
    page.wait_for_url(re.compile(r"/bulk/tenants/[0-9a-f-]+/$"))
    look("tenants-bulk-outcome")
    page.keyboard.press("Control+k")
    page.locator("#palette-hits [role=option]").first.wait_for()
    look("palette")

    for address in ("/account/password/", "/account/password/sent/", "/account/password/a/b/"):
        page.goto(here.address + address)
        look(address)

    # A tenant's own people have a portal of their own.
    token = owner.api().post("/invitations", CUSTOMER).json()["url"].split("/")[-2]
    carla = invitation_accept(token=token, name="Carla", password=PASSWORD, now=clock.now())
    client, there = Client(), visit(color_scheme="light")
    client.force_login(carla)
    session = client.cookies["sessionid"].value
    there.context.add_cookies(
        [
            {"name": "sessionid", "value": session, "url": there.address},
            {"name": "django_language", "value": language, "url": there.address},
        ]
    )
    inside = there.open("/")
    found |= crawl(there, inside, starts=["/customer/usage/"], each=lambda name: look(name, inside))

    pages = {pattern.name for pattern in urlpatterns} - NO_PAGES
    told = "\n".join(f"{name}: {wrong}" for name, wrong in looker.findings.items())
    assert looker.findings == {}, told
    of_forms = {"tenant-review", "tenants-bulk", "tenants-bulk-outcome"}
    assert {*found, *of_forms} == pages, "each page is linked from another one, or comes of a form"
