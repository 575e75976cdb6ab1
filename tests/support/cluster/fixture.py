"""One cluster for the whole test run, started by the first test that asks for it."""

from collections.abc import Iterator

import pytest

from tests.support.cluster.running import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    running = Cluster.start()
    yield running
    running.stop()
