"""Celery's part in billing."""

from celery import shared_task

from billing.metering.partitions import partitions_ensure
from controlplane.core import clock

#: So far ahead that a scheduler may stand still for weeks before ingest has to make a partition itself.
MONTHS_AHEAD = 2


@shared_task(name="billing.tasks.usage_partitions_task", expires=3600)
def usage_partitions_task() -> int:
    """Makes the partitions of raw events for this month and the next ones; how many were missing."""
    return len(partitions_ensure(at=clock.now(), ahead=MONTHS_AHEAD))
