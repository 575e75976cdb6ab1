"""Wakes a worker for a close that was begun. Postgres knows what is open, so a lost ring costs one hour at most."""

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger()

#: The task that goes on with every open close (tasks.py); sent by name, since services may not import tasks.
CLOSE_TASK = "billing.invoicing.tasks.period_closes_task"


def closes_ring_on_commit() -> None:
    transaction.on_commit(_ring)


def _ring() -> None:
    try:
        current_app.send_task(CLOSE_TASK, retry=False)
    except Exception as error:  # the broker may be down; the schedule finds the close
        log.warning("billing.doorbell_failed", error=type(error).__name__)
