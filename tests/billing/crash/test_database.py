"""Postgres stopped in the middle of ingest, and a network that keeps the answer to COMMIT to itself."""

from collections.abc import Callable

import pytest

from tests.billing.crash.cases import kills
from tests.billing.crash.world import World
from tests.support.commit_proxy import CommitProxy

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(600)]


def test_postgres_stopped_immediate_again_and_again(world: Callable[..., World]) -> None:
    crashed = world(seed=11)
    crashed.serve()
    crashed.send(twins=1)
    for _ in range(kills(5, 0.2)):
        crashed.progress(10)
        crashed.site.postgres_stop_immediate()
        crashed.site.postgres_start_again()
    crashed.progress(10)
    crashed.settle()
    assert crashed.violations() == []
    assert crashed.replay_changes() == []


def test_postgres_stopped_immediate_under_the_whole_api(world: Callable[..., World]) -> None:
    """With the pool of connections that the control plane has, all of which are broken afterwards."""
    crashed = world(seed=12, kind="api")
    crashed.serve()
    crashed.send()
    for _ in range(kills(2, 0.1)):
        crashed.progress(10)
        crashed.site.postgres_stop_immediate()
        crashed.site.postgres_start_again()
    crashed.progress(10)
    crashed.settle()
    assert crashed.violations() == []


@pytest.mark.parametrize("kind", ["ingest", "api"])
def test_commits_whose_answer_or_request_is_eaten(
    world: Callable[..., World], proxy: CommitProxy, kind: str
) -> None:
    """Nobody can tell the two apart: half of these batches are stored, half are not, and all are sent again."""
    crashed = world(seed=13, kind=kind, postgres_port=proxy.port)
    proxy.every = 3
    crashed.serve()
    crashed.send(twins=1)
    wanted = kills(10, 0.5)
    while min(proxy.eaten.values()) < wanted:
        crashed.progress(1)
    proxy.every = 0
    crashed.settle()
    assert crashed.violations() == []
    assert crashed.replay_changes() == []
