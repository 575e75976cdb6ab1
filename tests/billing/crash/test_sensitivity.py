"""The suite is itself tested: with a bug planted in its process, the check that is named must find something wrong."""

from collections.abc import Callable

import pytest

from embedded.processes import wait_until
from tests.billing.crash.cases import ANSWERED
from tests.billing.crash.closing import CloseWorld
from tests.billing.crash.generator import Stream
from tests.billing.crash.outbox import OutboxWorld, slow_transaction
from tests.billing.crash.pushing import outbox_facts
from tests.billing.crash.world import World
from tests.support.commit_proxy import CommitProxy

pytestmark = [pytest.mark.engine, pytest.mark.crash, pytest.mark.timeout(120)]


@pytest.mark.parametrize(
    ("plant", "point", "sign"),
    [
        (None, ANSWERED, None),
        ("no_dedup", "billing.ingest.committed", "doubled: "),
        ("acknowledge_before_commit", ANSWERED, "lost: "),
        ("float_sums", "billing.ingest.begun", "rollup: "),
        ("rollup_outside", "billing.ingest.committed", "rollup: "),
    ],
)
def test_a_planted_bug_of_the_ingest_is_found(
    world: Callable[..., World], plant: str | None, point: str, sign: str | None
) -> None:
    crashed = world(seed=21, plants=(plant,) if plant else ())
    crashed.serve()
    crashed.send()
    for _ in range(3):
        crashed.progress(4)
        crashed.kill_at(point)
    crashed.progress(30)
    crashed.settle()
    found = crashed.violations()
    assert any(each.startswith(sign) for each in found) if sign else found == [], found


@pytest.mark.parametrize(("plant", "sign"), [(None, None), ("retry_with_new_ids", "doubled: ")])
def test_a_sender_that_makes_new_ids_when_it_does_not_know_is_found(
    world: Callable[..., World], proxy: CommitProxy, plant: str | None, sign: str | None
) -> None:
    crashed = world(seed=22, postgres_port=proxy.port)
    proxy.every = 2
    crashed.serve()
    crashed.send(plant=plant)
    while proxy.eaten["answer"] < 4:
        crashed.progress(1)
    proxy.every = 0
    crashed.settle()
    found = crashed.violations()
    assert any(each.startswith(sign) for each in found) if sign else found == [], found


def test_an_outbox_read_by_a_cursor_is_found(outbox_world: Callable[..., OutboxWorld]) -> None:
    """The case of tests/billing/crash/test_outbox.py, where a lower number commits later."""
    crashed = outbox_world(facts=40, plants=("outbox_by_cursor",))
    slow = outbox_facts(Stream(crashed.seed, "acme", 0, crashed.at), 1)[0]
    with slow_transaction(crashed.url, slow.event) as transaction:
        crashed.write(first=1)
        assert wait_until(crashed.written, 60), crashed.log()
        # Only now: the writers commit out of order too, and the bug would skip one of theirs before its time.
        crashed.push()
        assert wait_until(lambda: crashed.pending() == 0, 60), crashed.log()
        transaction.commit()
    assert not wait_until(lambda: crashed.pending() == 0, 3.0), "the planted bug must show"
    found = crashed.violations()
    assert any(each.startswith("skipped: ") for each in found), found
    assert any(each.startswith("lost: ") for each in found), found


def test_money_that_was_a_float_is_found(close_world: Callable[..., CloseWorld]) -> None:
    crashed = close_world(tenants=2, plants=("float_money",))
    crashed.close()
    assert wait_until(crashed.done, 60), crashed.log()
    found = crashed.violations()
    assert any(each.startswith("money: ") for each in found), found
