"""Billing by the clock. Each is safe to run again at any time: what was done is done once."""

from celery import shared_task

from billing.costs.services import costs_post
from billing.directory import directory
from billing.ledger.accruals import accruals_post
from billing.ledger.gpu_kept import gpu_months_keep
from billing.ledger.services import credits_expire
from billing.metering.partitions import partitions_ensure
from billing.metering.reaping import spans_reap
from controlplane.core import clock

#: So far ahead that a scheduler may stand still for weeks before ingest has to make a partition itself.
MONTHS_AHEAD = 2


@shared_task(name="billing.tasks.usage_partitions_task", expires=3600)
def usage_partitions_task() -> int:
    """Makes the partitions of raw events for this month and the next ones; how many were missing."""
    return len(partitions_ensure(at=clock.now(), ahead=MONTHS_AHEAD))


@shared_task(name="billing.tasks.revenue_accrual_task", expires=3600)
def revenue_accrual_task() -> int:
    """Brings accruals to what the charges are now; how many it posted."""
    return accruals_post(now=clock.now())


@shared_task(name="billing.tasks.credits_expiry_task", expires=3600)
def credits_expiry_task() -> int:
    """Posts what is left of credits that have ended; of how many."""
    return credits_expire(now=clock.now())


@shared_task(name="billing.tasks.costs_task", expires=3600)
def costs_task() -> int:
    """Posts the costs of days that are over; for how many customers."""
    return costs_post(now=clock.now())


@shared_task(name="billing.tasks.spans_reap_task", expires=3600)
def spans_reap_task() -> int:
    """Closes the spans that tenants left open which are gone; how many."""
    ended = {each.id: each.ended_at for each in directory().customers() if each.ended_at is not None}
    return spans_reap(ended=ended, at=clock.now())


@shared_task(name="billing.tasks.gpu_months_task", expires=3600)
def gpu_months_task() -> int:
    """Brings GPU hours by month to now, for the fleet's margin; of how many tenants' months."""
    return gpu_months_keep(now=clock.now())
