"""Kill -9 of every part, at every step of a tenant's life, with the real engine and a real Postgres.

Each life takes one tenant from provision to deprovision, and kills one part in the middle of each operation. Where a
life has a restore, its data is spoiled before it, and the snapshot's must be there afterwards.
"""

from functools import partial

import pytest

from controlplane.tenants.models import Tenant
from tests.crash.asking import SLUG, ask
from tests.crash.cases import lives
from tests.crash.world import World
from tests.support.people import Person

pytestmark = [
    pytest.mark.engine,
    pytest.mark.crash,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(900),
]


@pytest.mark.parametrize("life", lives(), ids=lambda life: life["provision"][0] + "-" + life["provision"][1])
def test_a_life_of_crashes_loses_and_doubles_nothing(
    world: World, owner: Person, life: dict[str, tuple[str, str]]
) -> None:
    for kind, (point, victim) in life.items():
        world.trace_clear()
        before = world.database_url(Tenant.objects.get(slug=SLUG)) if kind == "rotate_credentials" else ""
        if kind == "restore":
            world.row_spoil(Tenant.objects.get(slug=SLUG))
        request = partial(ask, kind, owner, final_snapshot=point.startswith("final."))
        crash = world.crash(request, point=point, victim=victim)
        assert crash.reached, f"{point} is not passed in {kind}"
        print(crash.line())
        tenant = Tenant.objects.get(slug=SLUG)
        assert world.violations(tenant, crash=crash) == [], crash.line()
        if kind == "provision":
            world.row_write(tenant)
            server = world.server_pid(tenant)
        elif kind != "deprovision":
            assert world.server_pid(tenant) == server, f"the tenant's Postgres was ended by {crash.line()}"
            assert world.row_there(tenant), f"the tenant's data is gone after {crash.line()}"
        if before:
            assert not world.database_opens(before), f"the old password is still good after {crash.line()}"
            assert tenant.retiring_usage_key_ids == [], (
                f"the old usage token is still good after {crash.line()}"
            )
