"""One journey in a real Chromium: sign in, onboard, watch it become active, run an agent, see its usage."""

import re
import shutil
from collections.abc import Iterator

import pytest
from langgraph_sdk import get_sync_client
from playwright.sync_api import Page, expect, sync_playwright

from tests.scenarios.conftest import RunningFreehold

pytestmark = [pytest.mark.scenario, pytest.mark.browser, pytest.mark.timeout(600)]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
FLAGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture
def page() -> Iterator[Page]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert executable, "no Chromium: run tools/install-chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        page = browser.new_page()
        page.set_default_timeout(20_000)
        yield page
        browser.close()


def test_from_sign_in_to_the_first_bill(freehold: RunningFreehold, page: Page) -> None:
    up = freehold.up
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)

    page.goto(up["portal_url"])
    page.get_by_label("E-mail").fill(up["admin"]["email"])
    page.get_by_label("Password").fill(up["admin"]["password"])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Tenants", exact=True).click()
    expect(page.get_by_role("link", name="acme").first).to_be_visible()

    page.goto(f"{up['portal_url']}tenants/new/")
    page.locator("#name").fill("Umbrella Health")
    expect(page.locator("#slug")).to_have_value("umbrella-health")
    page.get_by_role("button", name="Create tenant").click()
    page.wait_for_url(re.compile(r"/operations/[0-9a-f-]{36}/"))
    # The page is watched, not reloaded: a mark on the window survives until the operation has ended.
    page.evaluate("window.watched = true")
    expect(page.locator("#op-head")).to_contain_text("succeeded", timeout=60_000)
    assert page.evaluate("window.watched") is True
    expect(page.locator("#op-resources")).to_contain_text("postgres", ignore_case=True)

    page.goto(f"{up['portal_url']}tenants/umbrella-health/")
    expect(page.locator("main")).to_contain_text("Active", ignore_case=True)
    expect(page.locator("main")).to_contain_text("Healthy", ignore_case=True)

    issued = freehold.call("POST", "/tenants/umbrella-health/credentials", {}).json()
    client = get_sync_client(url=issued["runtime_url"], api_key=issued["api_key"])
    client.runs.wait(
        None, "document_analyst", input={"messages": [{"role": "user", "content": "What is a tenant?"}]}
    )

    page.goto(f"{up['portal_url']}tenants/umbrella-health/usage/")
    page.wait_for_timeout(2_500)  # the promise: an event is visible in less than two seconds
    page.reload()
    expect(page.locator("main")).to_contain_text("Agent runs", ignore_case=True)
    expect(page.locator("main .chart svg").first).to_be_visible()
    page.goto(f"{up['portal_url']}tenants/umbrella-health/billing/")
    expect(page.locator("main")).to_contain_text("Base fee", ignore_case=True)

    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{up['portal_url']}tenants/umbrella-health/")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the phone page scrolls sideways"
    )
    assert problems == []

    operation = freehold.call("DELETE", "/tenants/umbrella-health").json()["operation"]
    assert freehold.wait(operation["id"])["state"] == "succeeded"
