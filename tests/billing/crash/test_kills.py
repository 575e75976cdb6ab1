"""Ingest killed by SIGKILL at every named moment and at any other, while senders go on until they are answered."""

import time
from collections.abc import Callable

import pytest

from tests.billing.crash.cases import ANSWERED, INGEST_POINTS, kills
from tests.billing.crash.world import World

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(600)]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_service_killed_anywhere_loses_and_doubles_nothing(
    world: Callable[..., World], seed: int
) -> None:
    crashed = world(seed=seed)
    crashed.serve()
    crashed.send(twins=1)
    points = (*INGEST_POINTS, ANSWERED)
    moments = [point for _ in range(kills(14) // (2 * len(points)) + 1) for point in points]
    crashed.chance.shuffle(moments)
    for point in moments:
        crashed.progress(3)
        crashed.kill_at(point)
        crashed.progress(1)
        crashed.kill_after(crashed.chance.uniform(0, 0.1))
    crashed.settle()
    assert crashed.violations() == []
    assert crashed.replay_changes() == []
    assert crashed.violations() == []


def test_the_whole_api_killed_anywhere_loses_and_doubles_nothing(world: Callable[..., World]) -> None:
    crashed = world(seed=3, kind="api")
    crashed.serve()
    crashed.send()
    moments = list(INGEST_POINTS) * (kills(6, 0.25) // len(INGEST_POINTS))
    crashed.chance.shuffle(moments)
    for point in moments:
        crashed.progress(3)
        crashed.kill_at(point)
        crashed.progress(1)
        crashed.kill_after(crashed.chance.uniform(0, 0.2))
    crashed.settle()
    assert crashed.violations() == []
    assert crashed.replay_changes() == []


@pytest.mark.parametrize("point", INGEST_POINTS)
def test_a_server_paused_in_the_middle_and_woken_beside_its_successor(
    world: Callable[..., World], point: str
) -> None:
    """Its transaction is open or just committed; the senders' batches wait for it or meet it, and count once."""
    crashed = world(seed=4)
    crashed.serve()
    # Impatient: they ask the successor while the first one still holds what they wait for.
    crashed.send(timeout_s=0.3)
    crashed.progress(3)
    with crashed.paused_at(point):
        crashed.serve()
        time.sleep(1.0)
    crashed.progress(10)
    crashed.settle()
    assert crashed.violations() == []
