"""The live page of an operation when the stream is well and what it announces cannot be fetched."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page, Route, expect

from controlplane.core import clock
from tests.browser.conftest import OpenVisit, Visit
from tests.portal import stories
from tests.support.people import Person

pytestmark = pytest.mark.browser

LIVE = "**/operations/*/live/?*"


@contextmanager
def unanswered(page: Page, here: Visit, *, status: int | None = None) -> Iterator[None]:
    """Within the block no look is answered, or all are with that status; at least one was tried."""
    tried: list[str] = []

    def refuse(route: Route) -> None:
        tried.append(route.request.url)
        if status is None:
            route.abort()
        else:
            route.fulfill(status=status, body="")

    page.route(LIVE, refuse)
    yield
    page.unroute(LIVE)
    assert tried
    # The refusals are what the test is about.
    here.complaints[:] = [text for text in here.complaints if not re.search(r"ERR_FAILED|503", text)]


def test_the_end_is_shown_though_the_look_at_it_failed(visit: OpenVisit, owner: Person) -> None:
    stories.request(owner.principal, "acme", clock.now())
    operation = stories.claim(clock.now())
    stories.plan(operation, clock.now())
    here = visit()
    page = here.sign_in(owner)
    page.goto(f"{here.address}/operations/{operation.id}/")
    expect(page.locator("[data-live-state]")).to_have_text("live")

    with unanswered(page, here):
        *_, last = stories.apply(operation, clock.now())
        stories.settle(operation, last)
        # The stream says its last word and is gone: it will not ring again.
        expect(page.locator("[data-live-state]")).to_have_text("reconnecting")
        page.wait_for_timeout(500)

    expect(page.get_by_role("heading", name="Acme is ready")).to_be_visible()
    expect(page.locator("[data-live-state]")).to_have_count(0)


def test_a_page_that_missed_one_look_is_live_again(visit: OpenVisit, owner: Person) -> None:
    stories.request(owner.principal, "acme", clock.now())
    here = visit()
    page = here.sign_in(owner)
    operation = stories.claim(clock.now())
    page.goto(f"{here.address}/operations/{operation.id}/")
    expect(page.locator("[data-live-state]")).to_have_text("live")

    with unanswered(page, here, status=503):
        stories.plan(operation, clock.now())
        expect(page.locator("[data-live-state]")).to_have_text("reconnecting")

    expect(page.locator("#op-resources tbody tr")).to_have_count(len(stories.RESOURCES))
    expect(page.locator("[data-live-state]")).to_have_text("live")
