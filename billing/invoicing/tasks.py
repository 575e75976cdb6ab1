"""Celery's part in invoicing: the close of the month before, and whatever close is open."""

from datetime import timedelta

from celery import shared_task

from billing.invoicing.close import period_close, period_closes_due
from billing.invoicing.doorbell import CLOSE_TASK
from billing.period import month_start, period_of
from controlplane.core import clock

ACTOR = "scheduler"


@shared_task(name=CLOSE_TASK, expires=3600)
def period_closes_task() -> int:
    """Begins what is due and goes on with what is open, each tenant in its own transaction; how many closes."""
    now = clock.now()
    due = period_closes_due(at=now, period=period_of(month_start(now) - timedelta(days=1)), actor=ACTOR)
    for close_id in due:
        period_close(close_id=close_id, at=clock.now(), actor=ACTOR)
    return len(due)
