"""The doorbell: wakes a worker. Postgres knows what is to be done, so a lost ring costs one sweep at most."""

import structlog
from celery import current_app
from django.db import transaction

log = structlog.get_logger()

#: The task that claims and works (operations/tasks.py); sent by name, since services may not import tasks.
WORK_TASK = "controlplane.operations.tasks.operations_work_task"


def doorbell_ring_on_commit() -> None:
    """Rings after commit: before it, the worker would read nothing."""
    transaction.on_commit(doorbell_ring)


def doorbell_ring() -> None:
    try:
        current_app.send_task(WORK_TASK, retry=False)
    except Exception as error:  # the broker may be down; the sweep finds the operation within seconds
        log.warning("operations.doorbell_failed", error=type(error).__name__)
