"""Journeys through the portal of a running Freehold, in a real Chromium: two people and the whole life of a tenant, and
a provision that fails and is tried again. What ends by itself is watched, never loaded anew.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.scenarios.conftest import RunningFreehold
from tests.scenarios.test_browser_journey import FLAGS

pytestmark = [pytest.mark.scenario, pytest.mark.browser, pytest.mark.timeout(600)]

#: Of an operation of a real engine.
ENGINE_MS = 90_000
SECOND = {"email": "second@example.com", "password": "a staple, a horse, a battery"}
OpenTab = Callable[..., Page]


@pytest.fixture
def tab(freehold: RunningFreehold) -> Iterator[OpenTab]:
    """A page of a browser session of its own; nothing may go wrong in any."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert executable, "no Chromium: run tools/install-chromium"
    problems: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)

        def begin(**options: Any) -> Page:
            page = browser.new_context(base_url=freehold.up["portal_url"], **options).new_page()
            page.set_default_timeout(20_000)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
            return page

        yield begin
        browser.close()
    assert problems == []


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/account/login/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", level=1, name="Overview").wait_for()


def watched(page: Page) -> str:
    """Marks the operation's page, so that a reload would show; its path."""
    page.wait_for_url(re.compile(r"/operations/[0-9a-f-]{36}/$"))
    page.evaluate("window.watched = true")
    return urlsplit(page.url).path


def ends(page: Page, state: str) -> None:
    expect(page.locator("#op-head .badge").first).to_contain_text(f": {state}", timeout=ENGINE_MS)
    expect(page.locator("[data-live-state]")).to_have_count(0)
    assert page.evaluate("window.watched") is True, "the page was loaded anew"
    ids = page.locator("#op-log > li").evaluate_all("rows => rows.map((row) => row.id)")
    assert len(ids) == len(set(ids))


def onboard(page: Page, name: str, *, approval: bool = False) -> str:
    page.goto("/tenants/new/")
    page.get_by_label("Name", exact=True).fill(name)
    if approval:
        page.locator("input[name=requires_approval]").check()
    page.get_by_role("button", name="Create tenant").click()
    return watched(page)


def test_two_people_and_the_whole_life_of_a_tenant(freehold: RunningFreehold, tab: OpenTab) -> None:
    admin = freehold.up["admin"]
    first, second = tab(), tab()
    sign_in(first, admin["email"], admin["password"])

    # Somebody else is invited, and lets the plan pass.
    first.goto("/access/")
    first.get_by_label("E-mail").fill(SECOND["email"])
    first.get_by_label("Role").last.select_option("operator")
    first.get_by_role("button", name="Make the link").click()
    link = urlsplit(first.locator("#issued-link").inner_text())
    second.goto(link.path)
    second.get_by_label("Password", exact=True).fill(SECOND["password"])
    second.get_by_label("Password again").fill(SECOND["password"])
    second.get_by_role("button", name="Join the team").click()
    second.get_by_role("heading", level=1, name="Overview").wait_for()

    place = onboard(first, "Stark Labs", approval=True)
    expect(first.get_by_role("heading", name="waits for approval")).to_be_visible(timeout=ENGINE_MS)
    expect(first.locator("#op-plan")).to_contain_text("postgres")
    second.goto(place)
    second.get_by_role("button", name="Approve and apply").click()
    expect(first.get_by_role("heading", name="Stark Labs is ready")).to_be_visible(timeout=ENGINE_MS)
    ends(first, "succeeded")
    expect(first.locator("#op-log")).to_contain_text(f"approved by {SECOND['email']}")

    # A key is shown once, and works.
    first.get_by_role("link", name="What now").click()
    first.get_by_label("Name of the key").fill("web-app")
    first.get_by_role("button", name="Make a key").click()
    key = first.locator("#issued-key").inner_text()
    url = first.get_by_role("region", name="Address").locator(".mono").inner_text()
    assert httpx.get(f"{url}/info", headers={"x-api-key": key}, timeout=20).status_code == 200
    first.goto("/tenants/stark-labs/start/")
    assert key not in first.content()

    # A run in the playground, and what it comes to.
    first.goto("/tenants/stark-labs/playground/?agent=document_analyst")
    first.get_by_label("Your message").fill("What is a tenant?")
    first.get_by_role("button", name="Send").click()
    expect(first.locator("#last-run")).to_contain_text("success", timeout=ENGINE_MS)
    expect(first.locator("#talk li.ai .said").last).not_to_be_empty()
    first.get_by_role("link", name="See its trace").click()
    expect(first.locator("#course")).to_contain_text("success")
    # The runtime delivers its usage within a moment; this page does not move by itself.
    for _ in range(40):
        first.goto("/tenants/stark-labs/usage/")
        if first.get_by_role("region", name="Meters").get_by_text("agent runs").count():
            break
        first.wait_for_timeout(500)
    with first.expect_download() as report:
        first.get_by_role("link", name="PDF", exact=True).click()
    assert Path(report.value.path()).read_bytes().startswith(b"%PDF")

    # It sleeps, wakes, and goes.
    first.goto("/tenants/stark-labs/settings/")
    first.get_by_text("Agents may go silent").click()
    first.get_by_role("button", name="Suspend").click()
    watched(first)
    ends(first, "succeeded")
    first.goto("/tenants/stark-labs/")
    expect(first.locator("main")).to_contain_text("suspended")
    first.goto("/tenants/stark-labs/settings/")
    first.get_by_role("button", name="Resume").click()
    watched(first)
    ends(first, "succeeded")
    first.goto("/tenants/stark-labs/settings/")
    first.get_by_label("Type stark-labs to confirm").fill("stark-labs")
    first.get_by_role("button", name="Delete stark-labs").click()
    watched(first)
    expect(first.get_by_role("heading", name="Stark Labs is gone")).to_be_visible(timeout=ENGINE_MS)
    ends(first, "succeeded")


def test_a_provision_that_fails_is_explained_and_tried_again(freehold: RunningFreehold, tab: OpenTab) -> None:
    admin = freehold.up["admin"]
    page = tab()
    sign_in(page, admin["email"], admin["password"])
    in_the_way = freehold.home / "tenants" / "wayne-works"
    in_the_way.write_text("not a folder")

    place = onboard(page, "Wayne Works")
    ends(page, "failed")
    failure = page.get_by_role("region", name="Failure")
    expect(failure).to_contain_text("directory")
    expect(failure).to_contain_text(f"freehold operations retry {place.split('/')[-2]}")
    in_the_way.unlink()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("#op-head")).to_contain_text("attempt 2")
    watched(page)
    expect(page.get_by_role("heading", name="Wayne Works is ready")).to_be_visible(timeout=ENGINE_MS)
    ends(page, "succeeded")

    operation = freehold.call("DELETE", "/tenants/wayne-works").json()["operation"]
    assert freehold.wait(operation["id"])["state"] == "succeeded"
