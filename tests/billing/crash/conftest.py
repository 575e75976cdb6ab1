"""One Postgres and one forking process for all cases of a worker, and a world for each case."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.billing.crash.closing import CloseWorld
from tests.billing.crash.outbox import OutboxWorld
from tests.billing.crash.site import Site
from tests.billing.crash.world import World
from tests.support.commit_proxy import CommitProxy, commit_proxy


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    site = Site.start()
    yield site
    site.stop()


@pytest.fixture
def world(site: Site, tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Makes a world; it is stopped at the end."""
    made: list[World] = []

    def make(**fields: Any) -> World:
        made.append(World(site, tmp_path, **fields))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def outbox_world(site: Site, tmp_path: Path) -> Iterator[Callable[..., OutboxWorld]]:
    made: list[OutboxWorld] = []

    def make(**fields: Any) -> OutboxWorld:
        made.append(OutboxWorld(site, tmp_path, **fields))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def close_world(site: Site, tmp_path: Path) -> Iterator[Callable[..., CloseWorld]]:
    made: list[CloseWorld] = []

    def make(**fields: Any) -> CloseWorld:
        made.append(CloseWorld(site, tmp_path, **fields))
        return made[-1]

    yield make
    for each in made:
        each.stop()


@pytest.fixture
def proxy(site: Site) -> Iterator[CommitProxy]:
    """Between a world's server and its Postgres, for `World(postgres_port=proxy.port)`."""
    with commit_proxy(site.server.port) as running:
        yield running
