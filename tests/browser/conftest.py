"""A real server (uvicorn, so that streams stream) over the test database, and a real Chromium before it."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from controlplane.accounts.models import User
from tests.support.people import PASSWORD, Person
from tests.support.portal_server import PortalServer
from tests.support.services import RunningPostgres

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def portal_process(
    django_db_setup: None, postgres_server: RunningPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The server's address. It outlives single tests: their rows come and go under it."""
    server = PortalServer(
        postgres_server.url(str(settings.DATABASES["default"]["NAME"])),
        tmp_path_factory.mktemp("portal") / "server.log",
    )
    try:
        server.start()
        yield server.address
    finally:
        server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable is not None, "no Chromium: run tools/install-chromium"
    # Playwright's synchronous API runs an event loop in this thread, which Django takes for async code.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


class Visit:
    """Tabs of one browser session, and everything that went wrong in them."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context, self.address = context, address
        self.complaints: list[str] = []

    def open(self, path: str) -> Page:
        page = self.context.new_page()
        page.on("console", lambda said: self._console(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.goto(self.address + path)
        return page

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)

    def sign_in(self, person: Person) -> Page:
        # The suite hashes passwords the fast way; the server knows only the real one.
        hashed = Argon2PasswordHasher().encode(PASSWORD, "a salt of tests")
        User.objects.filter(pk=person.user.pk).update(password=hashed)
        page = self.open("/account/login/")
        page.get_by_label("E-mail").fill(person.user.email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self.address}/")
        return page


OpenVisit = Callable[..., Visit]


@pytest.fixture
def visit(transactional_db: None, portal_process: str, chromium: Browser) -> Iterator[OpenVisit]:
    """Opens sessions (viewport, color_scheme and the like as Playwright names them); none may complain."""
    visits: list[Visit] = []

    def begin(**options: Any) -> Visit:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        visits.append(Visit(context, portal_process))
        return visits[-1]

    yield begin
    for one in visits:
        one.context.close()
    complaints = [text for one in visits for text in one.complaints]
    assert complaints == []
