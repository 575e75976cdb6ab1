"""The runtime's outbox: its pusher killed and paused at every step, and transactions that commit out of order."""

from collections.abc import Callable

import pytest

from embedded.processes import wait_until
from tests.billing.crash.cases import INGEST_POINTS, PUSHER_POINTS, kills
from tests.billing.crash.generator import Stream
from tests.billing.crash.outbox import OutboxWorld, slow_transaction
from tests.billing.crash.pushing import outbox_facts

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(600)]


def test_a_pusher_killed_at_every_step_delivers_all_once(outbox_world: Callable[..., OutboxWorld]) -> None:
    crashed = outbox_world(facts=600)
    crashed.write()
    for _ in range(2):
        crashed.push()
    for point in PUSHER_POINTS * max(1, kills(6, 0.1) // 6):
        crashed.kill_at(point)
    assert wait_until(crashed.written, 60), crashed.log()
    assert crashed.drained(), crashed.log()
    assert crashed.violations() == []


@pytest.mark.parametrize("point", PUSHER_POINTS)
def test_a_pusher_paused_and_overtaken_and_woken(
    outbox_world: Callable[..., OutboxWorld], point: str
) -> None:
    """Paused, it holds the lock, and nobody overtakes it; then Postgres drops its session, and another one does."""
    crashed = outbox_world(facts=120)
    crashed.write()
    crashed.push()
    with crashed.paused_at(point):
        crashed.push()
        assert wait_until(crashed.written, 60), crashed.log()
        assert crashed.pending() > 0, "another pusher went on beside the one that has the lock"
        crashed.lock_taken_away()
        assert crashed.drained(), crashed.log()
    assert crashed.drained(), crashed.log()
    assert crashed.violations() == []


def test_writers_killed_in_mid_transaction(outbox_world: Callable[..., OutboxWorld]) -> None:
    crashed = outbox_world(facts=300)
    crashed.push()
    for _ in range(4):
        crashed.write()
        before = crashed.fact_count()
        assert wait_until(lambda before=before: crashed.fact_count() > before + 20, 60), crashed.log()  # type: ignore[misc]
        assert crashed.writer is not None
        crashed.kill(crashed.writer)
    crashed.write()
    assert wait_until(crashed.written, 60), crashed.log()
    assert crashed.drained(), crashed.log()
    assert crashed.violations() == []


def test_the_control_plane_killed_while_an_outbox_is_pushed(outbox_world: Callable[..., OutboxWorld]) -> None:
    crashed = outbox_world(facts=600)
    crashed.write()
    crashed.push()
    for point in INGEST_POINTS:
        crashed.control_plane.kill_at(point)
    assert wait_until(crashed.written, 60), crashed.log()
    assert crashed.drained(), crashed.log()
    assert crashed.violations() == []


def test_a_lower_number_that_commits_later_is_not_skipped(outbox_world: Callable[..., OutboxWorld]) -> None:
    crashed = outbox_world(facts=40)
    slow = outbox_facts(Stream(crashed.seed, "acme", 0, crashed.at), 1)[0]
    with slow_transaction(crashed.url, slow.event) as transaction:
        # The same id again waits for this transaction: the writers begin with the second fact.
        crashed.write(first=1)
        crashed.push()
        assert wait_until(crashed.written, 60), crashed.log()
        assert crashed.drained(), crashed.log()
        assert crashed.states() == {"delivered": 39}
        transaction.commit()
    assert wait_until(lambda: crashed.states() == {"delivered": 40}, 60), crashed.states()
    assert crashed.violations() == []


def test_two_sources_in_one_outbox_may_use_the_same_id(outbox_world: Callable[..., OutboxWorld]) -> None:
    """Two replicas name the same gauge alike; a refusal of one's event must not be taken for the other's answer."""
    crashed = outbox_world(facts=1)
    good = outbox_facts(Stream(crashed.seed, "acme", 0, crashed.at), 1)[0].event
    other = {**good, "source": "/tenants/acme/runtime/1", "type": "somebody.else.v1"}
    for event in (good, other):
        with slow_transaction(crashed.url, event) as transaction:
            transaction.commit()
    crashed.push()
    assert crashed.drained(), crashed.log()
    with crashed.open() as connection:
        rows = connection.execute("SELECT source, state FROM usage_outbox ORDER BY seq").fetchall()
    assert rows == [(good["source"], "delivered"), (other["source"], "parked")]
