"""Celery's part in budgets."""

import time
from typing import Final

from celery import shared_task

from billing.budgets.evaluate import budgets_evaluate_due
from controlplane.core import clock

#: Below the interval of the clock, so that evaluations do not pile up.
_LONGEST_S: Final = 45.0


@shared_task(name="billing.budgets.tasks.budgets_evaluate_task", expires=60)
def budgets_evaluate_task() -> int:
    """Evaluates the budgets that are due, for at most 45 seconds; how many."""
    begun = time.monotonic()
    return budgets_evaluate_due(now=clock.now(), until=lambda: time.monotonic() - begun > _LONGEST_S)
