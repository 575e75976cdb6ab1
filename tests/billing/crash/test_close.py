"""The close of a month killed at every step and at others, by two processes at once: each invoice exactly once."""

import random
import time
from collections.abc import Callable

import pytest

from embedded.processes import wait_until
from tests.billing.crash.cases import CLOSE_POINTS, kills
from tests.billing.crash.closing import CloseWorld

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(600)]


def test_a_close_killed_anywhere_invoices_each_tenant_once(close_world: Callable[..., CloseWorld]) -> None:
    crashed = close_world()
    for _ in range(2):
        crashed.close()
    for point in CLOSE_POINTS:
        assert crashed.kill_at(point), f"{point} is not passed: {crashed.log()}"
    chance = random.Random(crashed.seed)  # noqa: S311 - repeatable on purpose
    for _ in range(kills(4, 0.2)):
        time.sleep(chance.uniform(0, 0.2))
        crashed.kill(chance.choice(crashed.closers))
        crashed.close()
    assert wait_until(crashed.done, 90), crashed.log()
    assert crashed.violations() == []
    # Once more from the start: all is done, and nothing is done twice.
    (crashed.root / "closed").unlink()
    crashed.close()
    assert wait_until(crashed.done, 60), crashed.log()
    assert crashed.violations() == []
