"""A paused run that nobody can end: another worker takes over and finishes, then the old one wakes up."""

import pytest

from controlplane.operations import states
from controlplane.tenants.models import Tenant
from tests.crash.asking import SLUG, ask
from tests.crash.world import World
from tests.support.people import Person

pytestmark = [
    pytest.mark.engine,
    pytest.mark.crash,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize("world", ["no_process_end"], indirect=True)
def test_what_a_woken_run_writes_is_refused(world: World, owner: Person) -> None:
    zombie = world.zombie(lambda: ask("provision", owner), point="provider.create.cache.begin")
    assert (zombie.operation.state, zombie.state_moved) == (states.SUCCEEDED, False), zombie.operation.error
    assert zombie.refusals > 0, "it did not even try to write: the test proves nothing"
    assert world.violations(Tenant.objects.get(slug=SLUG)) == []
    # Once more on a stack that has a state to spoil.
    zombie = world.zombie(lambda: ask("update", owner), point="provider.update.cache.begin")
    assert (zombie.operation.state, zombie.state_moved) == (states.SUCCEEDED, False), zombie.operation.error
    assert world.violations(Tenant.objects.get(slug=SLUG)) == []


@pytest.mark.parametrize("world", ["no_process_end+no_fence"], indirect=True)
def test_without_the_fence_it_would_be_written(world: World, owner: Person) -> None:
    zombie = world.zombie(lambda: ask("provision", owner), point="provider.create.cache.begin")
    assert zombie.state_moved, "the planted bug must show, or the test above proves nothing"
