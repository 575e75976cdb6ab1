"""Agents, a trace and the playground in a real browser, over a real runtime."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.tenants.models import Tenant
from tests.browser.conftest import OpenVisit
from tests.browser.test_portal import CONTRAST, SMALL_TARGETS
from tests.portal import stories
from tests.support.people import Person
from tests.tenant_runtime.support import RuntimeProcess

pytestmark = pytest.mark.browser
LONG = "a sentence that is long enough to be seen while it comes a letter at a time"


@pytest.fixture
def runtime(owner: Person, runtime_behind: Callable[[Tenant], RuntimeProcess]) -> RuntimeProcess:
    return runtime_behind(
        stories.provisioned(owner.principal, "acme", clock.now(), name="Acme Corporation")[0]
    )


def traced(runtime: RuntimeProcess, agent: str, text: str) -> str:
    with runtime.http() as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        given = {"messages": [{"role": "user", "content": text}]}
        http.post(f"/threads/{thread}/runs/wait", json={"assistant_id": agent, "input": given})
        return f"/tenants/acme/runs/{thread}/{http.get(f'/threads/{thread}/runs').json()[0]['run_id']}/"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_readable_and_fit_a_phone(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess, scheme: str
) -> None:
    here = visit(color_scheme=scheme, viewport={"width": 375, "height": 800})
    page = here.sign_in(owner)
    whole, failed = traced(runtime, "document_analyst", "How long?"), traced(runtime, "broken", "x")
    poor: dict[str, object] = {}
    for path in ("/tenants/acme/agents/", whole, failed, "/tenants/acme/playground/"):
        for width in (375, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            page.goto(here.address + path)
            found = [*page.evaluate(CONTRAST), *page.evaluate(SMALL_TARGETS)]
            if found or page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                poor[f"{path} at {width}"] = found or "too wide"
    assert poor == {}


def test_words_come_as_they_are_said_and_a_reload_keeps_them(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess
) -> None:
    here = visit()
    page = here.sign_in(owner)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{here.address}/tenants/acme/playground/?agent=speaking")
    page.get_by_label("Your message").fill(LONG)
    page.keyboard.press("Control+Enter")

    answer = page.locator("#talk li.ai .said").last
    expect(answer).to_have_text(re.compile(r"^You said a sent"))
    assert not answer.text_content().endswith("1 so far"), "it is still being said"  # type: ignore[union-attr]
    expect(page.locator("#walk .tag", has_text="speak")).to_have_attribute("data-state", "begun")
    expect(page.get_by_role("button", name="Stop the run")).to_be_visible()
    expect(page.get_by_label("Your message")).to_be_disabled()

    expect(page.locator("#last-run")).to_contain_text("success")
    expect(answer).to_have_text(f"You said {LONG}, 1 so far")
    expect(page.locator("#talk li")).to_have_count(2)
    assert page.evaluate("document.activeElement.id") == "text", "the next message can be written at once"
    page.reload()
    expect(page.locator("#talk li")).to_have_count(2)
    expect(answer).to_have_text(f"You said {LONG}, 1 so far")

    page.get_by_label("Your message").fill("more")
    page.get_by_role("button", name="Send").click()
    expect(answer).to_have_text("You said more, 3 so far")
    assert all(url.startswith(here.address) for url in asked), "the browser asks the portal alone"
    assert AuditEvent.objects.filter(action="tenant.run_requested").count() == 2


def test_a_reload_while_it_goes_on_follows_it_and_it_can_be_stopped(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess
) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/playground/?agent=sleepy")
    page.get_by_label("Your message").fill("zzz")
    page.get_by_role("button", name="Send").click()
    step = page.locator("#walk .tag", has_text="sleep")
    expect(step).to_have_attribute("data-state", "begun")

    page.reload()
    expect(step).to_have_attribute("data-state", "begun")
    expect(page.locator("#talk")).to_contain_text("zzz")
    page.get_by_role("button", name="Stop the run").click()
    expect(page.locator("#last-run")).to_contain_text("interrupted")
    expect(page.get_by_label("Your message")).to_be_enabled()


def test_a_portal_that_is_away_at_the_end_does_not_cost_the_page(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess
) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/playground/?agent=speaking")
    page.evaluate("window.kept = true")
    fetched = re.compile(r"/playground/\?")
    page.route(fetched, lambda route: route.abort())
    page.get_by_label("Your message").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#walk-note")).to_contain_text("tried again")

    page.unroute(fetched)
    expect(page.locator("#last-run")).to_contain_text("success")
    expect(page.locator("#talk")).to_contain_text("You said hello, 1 so far")
    assert page.evaluate("window.kept") is True, "the page was loaded anew"
    # The refused requests are what this test is about.
    here.complaints[:] = [text for text in here.complaints if "ERR_FAILED" not in text]


def test_the_page_of_a_run_moves_by_itself_until_it_is_over(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess
) -> None:
    here = visit()
    page = here.sign_in(owner)
    with runtime.http() as http:
        thread = http.post("/threads", json={}).json()["thread_id"]
        given = {"messages": [{"role": "user", "content": "zzz"}]}
        begun = http.post(f"/threads/{thread}/runs", json={"assistant_id": "sleepy", "input": given}).json()
        page.goto(f"{here.address}/tenants/acme/runs/{thread}/{begun['run_id']}/")
        expect(page.locator("#course .badge").first).to_contain_text(re.compile("pending|running"))
        http.post(f"/threads/{thread}/runs/{begun['run_id']}/cancel").raise_for_status()
    expect(page.locator("#course .badge").first).to_contain_text("interrupted")
    assert page.locator("#course").get_attribute("hx-trigger") is None, "nothing is asked for any more"


def test_what_is_refused_is_said_beside_the_message(
    visit: OpenVisit, owner: Person, runtime: RuntimeProcess
) -> None:
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/playground/?agent=speaking")
    page.locator("#say input[name=agent]").evaluate("(field) => { field.value = 'nobody'; }")
    page.get_by_label("Your message").fill("hello")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#say-error")).to_contain_text("nobody")
    expect(page.get_by_label("Your message")).to_have_value("hello")
    expect(page.get_by_label("Your message")).to_be_enabled()
    # The browser itself reports the refused request.
    assert [text for text in here.complaints if "404" not in text] == []
    here.complaints.clear()


def test_it_works_without_scripts(visit: OpenVisit, owner: Person, runtime: RuntimeProcess) -> None:
    here = visit(java_script_enabled=False)
    page = here.sign_in(owner)
    page.goto(f"{here.address}/tenants/acme/playground/?agent=speaking")
    page.get_by_label("Your message").fill("hello")
    page.get_by_role("button", name="Send").click()

    expect(page.locator("#talk")).to_contain_text("You said hello, 1 so far")
    page.goto(f"{here.address}{traced(runtime, 'speaking', 'in the trace')}")
    page.get_by_role("button", name="Show messages and arguments").click()
    expect(page.locator("body")).to_contain_text("in the trace")
