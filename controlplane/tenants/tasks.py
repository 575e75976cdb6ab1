"""Celery's part in tenants: looking at their components, and following their billing standings, by the clock."""

import time
from typing import Final
from uuid import UUID

from celery import shared_task

from controlplane.core import clock
from controlplane.tenants.bulk import bulk_prune
from controlplane.tenants.component_health import (
    endpoints_watched,
    health_changes_prune,
    health_unwatched_settle,
    looks_note,
)
from controlplane.tenants.drafts import PLAN_TASK, draft_plan_compute
from controlplane.tenants.probing import looks_take
from controlplane.tenants.snapshots.services import snapshots_expire
from controlplane.tenants.standing import standings_enact

#: Below the interval of the clock's next but one turn; what is left keeps its place.
STANDINGS_S: Final = 20.0


@shared_task(name="controlplane.tenants.tasks.tenants_health_task", expires=30)
def tenants_health_task() -> int:
    """Looks at every active tenant's components, all at once; of how many the shown health changed."""
    looks = looks_take(endpoints_watched())
    now = clock.now()
    health_unwatched_settle(now=now)
    return sum(looks_note(tenant_id=tenant_id, looks=seen, now=now) for tenant_id, seen in looks.items())


@shared_task(name="controlplane.tenants.tasks.standings_task", expires=30)
def standings_task() -> int:
    """Does what billing standings ask for, for at most 20 seconds; of how many tenants anything was done."""
    begun = time.monotonic()
    return standings_enact(clock_now=clock.now, until=lambda: time.monotonic() - begun > STANDINGS_S)


@shared_task(name="controlplane.tenants.tasks.snapshots_task", expires=600)
def snapshots_task() -> int:
    """Removes snapshots that are kept no longer, and what killed attempts left."""
    return snapshots_expire(now=clock.now())


@shared_task(name="controlplane.tenants.tasks.health_history_task", expires=3600)
def health_history_task() -> int:
    return health_changes_prune(now=clock.now())


@shared_task(name="controlplane.tenants.tasks.bulk_requests_task", expires=3600)
def bulk_requests_task() -> int:
    """Forgets requests for several tenants whose time is over."""
    return bulk_prune(now=clock.now())


@shared_task(name=PLAN_TASK)
def draft_plan_task(draft_id: str) -> None:
    """Plans the stack of a tenant that is only thought about."""
    draft_plan_compute(draft_id=UUID(draft_id))
