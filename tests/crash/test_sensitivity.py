"""The crash suite is itself tested: with a bug planted in the worker, it must find something wrong."""

import re

import pytest

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


@pytest.mark.parametrize(
    ("world", "sign"),
    [
        ("no_lock_clearing", "stack_locked"),
        # Where the second creation is refused, what is left of the first shows it.
        ("no_settling", "created again|pending operations are left"),
        ("status_before_commit", "outputs"),
    ],
    indirect=["world"],
)
def test_a_planted_bug_is_found(world: World, owner: Person, sign: str) -> None:
    crash = world.crash(
        lambda: ask("provision", owner), point="provider.create.postgres.done", victim="worker"
    )
    found = world.violations(Tenant.objects.get(slug=SLUG), crash=crash)
    assert any(re.search(sign, each) for each in found), found
