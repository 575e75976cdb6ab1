"""What `make bench` measures of crashes in metering: run by benchmarks/billing_crash.py through pytest.

The report at FREEHOLD_CRASH_REPORT is one JSON document a line. Any loss or double fails the run: there is no figure
then.
"""

import json
import math
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedded.processes import wait_until
from tests.billing.crash.cases import ANSWERED, CLOSE_POINTS, INGEST_POINTS, PUSHER_POINTS
from tests.billing.crash.closing import CloseWorld
from tests.billing.crash.outbox import OutboxWorld
from tests.billing.crash.world import World
from tests.support.commit_proxy import CommitProxy

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("FREEHOLD_BILLING_KILLS", "100"))
#: Kills of one close: each point once, and this many at moments of chance.
CHANCES = 3
CLOSES = max(1, math.ceil(KILLS / (len(CLOSE_POINTS) + CHANCES)))


def report(**line: Any) -> None:
    with Path(os.environ["FREEHOLD_CRASH_REPORT"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _struck(crashed: World, what: str, strike: Callable[[], object]) -> None:
    """One blow, and how long senders then wait for the next answer."""
    crashed.progress(3)
    strike()
    begun = time.monotonic()
    crashed.progress(1)
    report(what=what, recovery_s=time.monotonic() - begun)


def _checked(crashed: World, what: str) -> None:
    crashed.settle()
    assert crashed.violations() == []
    assert crashed.replay_changes() == []
    report(what="checked", of=what, **crashed.counts())


@pytest.mark.parametrize("kind", ["ingest", "api"])
def test_kills(world: Callable[..., World], kind: str) -> None:
    crashed = world(seed=31, kind=kind)
    crashed.serve()
    crashed.send(twins=1)
    points = INGEST_POINTS + ((ANSWERED,) if kind == "ingest" else ())
    for number in range(KILLS):
        if number % 2:
            _struck(crashed, f"kill {kind}", lambda: crashed.kill_after(crashed.chance.uniform(0, 0.2)))
        else:
            point = points[number // 2 % len(points)]
            _struck(crashed, f"kill {kind}", lambda point=point: crashed.kill_at(point))  # type: ignore[misc]
    _checked(crashed, f"kill {kind}")


def test_postgres(world: Callable[..., World]) -> None:
    crashed = world(seed=32)
    crashed.serve()
    crashed.send(twins=1)

    def strike() -> None:
        crashed.site.postgres_stop_immediate()
        crashed.site.postgres_start_again()

    for _ in range(max(1, KILLS // 5)):
        _struck(crashed, "postgres", strike)
    _checked(crashed, "postgres")


def test_commits(world: Callable[..., World], proxy: CommitProxy) -> None:
    crashed = world(seed=33, postgres_port=proxy.port)
    proxy.every = 3
    crashed.serve()
    crashed.send(twins=1)
    while min(proxy.eaten.values()) < KILLS // 2:
        crashed.progress(1)
    proxy.every = 0
    report(what="commits", **proxy.eaten)
    _checked(crashed, "commits")


def test_pushers(outbox_world: Callable[..., OutboxWorld]) -> None:
    crashed = outbox_world(facts=25 * KILLS)
    crashed.write()
    for _ in range(2):
        crashed.push()
    for number in range(max(len(PUSHER_POINTS), KILLS // 4)):
        crashed.kill_at(PUSHER_POINTS[number % len(PUSHER_POINTS)])
        report(what="kill pusher")
    assert wait_until(crashed.written, 300), crashed.log()
    assert crashed.drained(60), crashed.log()
    assert crashed.violations() == []
    report(what="checked", of="kill pusher", events=crashed.facts)


@pytest.mark.parametrize("close", range(CLOSES))
def test_closes(close_world: Callable[..., CloseWorld], close: int) -> None:
    crashed = close_world(seed=50 + close)
    for _ in range(2):
        crashed.close()
    for point in CLOSE_POINTS:
        assert crashed.kill_at(point), f"{point} is not passed: {crashed.log()}"
        report(what="kill close")
    chance = random.Random(crashed.seed)  # noqa: S311 - repeatable on purpose
    for _ in range(CHANCES):
        time.sleep(chance.uniform(0, 0.05))
        if crashed.done():
            break
        crashed.kill(chance.choice(crashed.closers))
        report(what="kill close")
        crashed.close()
    begun = time.monotonic()
    assert wait_until(crashed.done, 90), crashed.log()
    report(what="closed", recovery_s=time.monotonic() - begun)
    assert crashed.violations() == []
    report(what="invoiced", invoices=crashed.tenants)
