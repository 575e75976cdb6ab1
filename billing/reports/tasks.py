"""Celery's part in reports."""

import time
from typing import Final

from celery import shared_task

from billing.reports.schedules import reports_write_due
from controlplane.core import clock

_LONGEST_S: Final = 240.0


@shared_task(name="billing.reports.tasks.reports_write_task", expires=300)
def reports_write_task() -> int:
    """Writes the scheduled reports that are due, for at most four minutes; how many."""
    begun = time.monotonic()
    return reports_write_due(now=clock.now(), until=lambda: time.monotonic() - begun > _LONGEST_S)
