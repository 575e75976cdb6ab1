"""Everything between an operation and its page is killed in mid-operation: the page loses nothing, doubles nothing, and
ends by itself.

The engine, the workers and the web process are real. Crash points hold the operation still at chosen moments, so that
each kill falls where it is meant to; between them it runs on, also while nobody serves the page.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Browser, Locator, Page, expect

from controlplane.accounts import roles
from controlplane.accounts.services import team_create
from controlplane.core import clock
from controlplane.operations import states
from controlplane.operations.models import Operation, OperationEvent
from controlplane.operations.selectors import events_after
from controlplane.portal.timeline import timeline_of
from embedded.processes import wait_until
from tests.browser.conftest import Visit
from tests.crash.asking import ask
from tests.crash.world import World
from tests.support.people import Person, person_make
from tests.support.portal_server import PortalServer
from tests.support.services import RunningPostgres
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.engine,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(240),
]

#: Of things that take a moment on a quiet machine.
PATIENCE_MS = 45_000
#: What a browser itself says about a server that is not there.
EXPECTED = re.compile(r"net::ERR_(CONNECTION|INCOMPLETE|EMPTY|SOCKET)")
#: Events of these types are lines of the log, whatever they hold.
ALWAYS_SHOWN = ("state", "step", "summary", "cancel", "diagnostic")


@pytest.fixture
def world(settings: Any, tmp_path: Path, postgres_server: RunningPostgres) -> Iterator[World]:
    made = World(tmp_path, postgres_server, settings)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def portal(world: World) -> Iterator[PortalServer]:
    database = str(django_settings.DATABASES["default"]["NAME"])
    server = PortalServer(world.postgres.url(database), world.root / "logs" / "web.log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def network(portal: PortalServer) -> Iterator[TcpProxy]:
    with tcp_proxy(portal.port) as proxy:
        yield proxy


class Held:
    """Crash points that hold the operation, one after the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.operation: Operation

    def arm(self, *points: str) -> None:
        for point in points:
            (self.world.root / "points" / f"{point}.armed").touch()

    def at(self, point: str) -> int:
        """Waits until the operation halts there; the pid of what halts."""
        pid = self.world.wait_reached(point, self.operation)
        assert pid is not None, f"the operation ended before {point}"
        return pid

    def let_go(self, point: str) -> None:
        (self.world.root / "points" / f"{point}.reached").unlink()

    def events(self) -> int:
        return OperationEvent.objects.filter(operation=self.operation).count()

    def moves_on(self) -> None:
        """Until something has happened that no page was told of."""
        before = self.events()
        assert wait_until(lambda: self.events() > before, 45.0, poll_s=0.05), self.world.log_tail()


def live_state(page: Page) -> Locator:
    return page.locator("[data-live-state]")


def shown(page: Page) -> list[int]:
    ids = page.locator("#op-log > li").evaluate_all("rows => rows.map((row) => row.id)")
    return [int(name.removeprefix("event-")) for name in ids]


def test_nothing_is_lost_or_doubled_when_stream_web_and_worker_are_killed(
    world: World, portal: PortalServer, network: TcpProxy, chromium: Browser
) -> None:
    team = team_create(name="C", actor="t", now=clock.now())
    owner: Person = person_make("crash@example.com", team, roles.OWNER)
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    here = Visit(context, network.address)
    page = here.sign_in(owner)
    expect.set_options(timeout=PATIENCE_MS)
    held = Held(world)
    held.arm(
        "runner.planned",
        "provider.create.cache.done",
        "provider.create.vector_store.done",
        "executor.recorded",
    )
    held.operation = ask("provision", owner)
    page.goto(f"{here.address}/operations/{held.operation.id}/")
    page.evaluate("window.watched = true")
    expect(live_state(page)).to_have_text("live")

    # The network ends the stream while nothing happens, and again while it does.
    held.at("runner.planned")
    assert network.cut() > 0
    expect(live_state(page)).to_have_text(re.compile("reconnecting|polling"))
    held.let_go("runner.planned")
    held.moves_on()
    network.cut()
    expect(live_state(page)).to_have_text("live")

    # The web process dies; the operation goes on unseen until another one serves.
    held.at("provider.create.cache.done")
    portal.kill()
    expect(live_state(page)).to_have_text(re.compile("reconnecting|polling"))
    held.let_go("provider.create.cache.done")
    held.moves_on()
    portal.start()
    expect(live_state(page)).to_have_text("live")

    # The worker dies in the middle of a resource. Another takes over, as the second attempt.
    world.kill("worker", held.at("provider.create.vector_store.done"))
    world.workers_keep()
    expect(page.locator("#op-head")).to_contain_text(re.compile("attempt [2-4]"))

    # Both at once, when everything is made and recorded. The end comes while nobody serves the page.
    worker = held.at("executor.recorded")
    portal.kill()
    world.kill("worker", worker)
    world.workers_keep()
    world.wait_end(held.operation)
    assert held.operation.state == states.SUCCEEDED, held.operation.error
    assert page.get_by_role("heading", name="is ready").count() == 0, "the page cannot know yet"
    portal.start()

    expect(page.get_by_role("heading", name=re.compile("is ready"))).to_be_visible()
    expect(live_state(page)).to_have_count(0)
    expect(page).to_have_title(re.compile("succeeded"))
    assert page.evaluate("window.watched") is True, "the page was loaded anew"

    stored = events_after(operation_id=held.operation.id, cursor=0, limit=4000)
    ids = shown(page)
    assert ids == [line.id for line in timeline_of(stored).lines]
    assert {event.id for event in stored if event.type in ALWAYS_SHOWN} <= set(ids)
    words = page.locator("#op-resources tbody .state").all_inner_texts()
    assert [each.strip() for each in words] == [row.words for row in timeline_of(stored).rows]
    page.reload()
    assert shown(page) == ids
    assert [text for text in here.complaints if not EXPECTED.search(text)] == []
    context.close()
