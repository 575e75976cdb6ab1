"""The API by the clock."""

from celery import shared_task

from controlplane.api.idempotency import idempotency_prune
from controlplane.core import clock


@shared_task(name="controlplane.api.tasks.idempotency_task", expires=3600)
def idempotency_task() -> int:
    """Forgets answers that are kept no longer; how many."""
    return idempotency_prune(now=clock.now())
