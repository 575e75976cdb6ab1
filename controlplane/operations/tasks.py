"""Celery's part: a doorbell and a sweep. Tasks hold no rules; Postgres decides what is to be done."""

import threading

from celery import shared_task
from celery.signals import worker_shutting_down

from controlplane.core import clock
from controlplane.operations.approvals import approvals_expire
from controlplane.operations.doorbell import WORK_TASK, doorbell_ring
from controlplane.operations.executor import operation_execute
from controlplane.operations.leases import operation_claim
from controlplane.operations.logs import operation_logs_prune
from controlplane.operations.queue import queue_expire
from controlplane.operations.reaper import fences_tidy, operations_reap
from controlplane.operations.selectors import operations_claimable

_stopping = threading.Event()


@worker_shutting_down.connect
def worker_stops(**_: object) -> None:
    """A worker that was told to stop ends what it has begun and begins nothing more: others claim the rest."""
    _stopping.set()


@shared_task(name=WORK_TASK)
def operations_work_task() -> int:
    """Claims and carries out operations until none is to be had, or the worker stops; how many it was."""
    done = 0
    worker = threading.current_thread().name
    while (
        not _stopping.is_set() and (operation := operation_claim(worker=worker, now=clock.now())) is not None
    ):
        operation_execute(operation)
        done += 1
    return done


@shared_task(name="controlplane.operations.tasks.operations_sweep_task", expires=10)
def operations_sweep_task() -> None:
    """Rings again for what a lost doorbell left behind, and settles what lost its executor."""
    operations_reap(now=clock.now())
    fences_tidy()
    approvals_expire(now=clock.now())
    queue_expire(now=clock.now())
    for _ in range(operations_claimable()):
        doorbell_ring()


@shared_task(name="controlplane.operations.tasks.operation_logs_task", expires=3600)
def operation_logs_task() -> None:
    """Forgets logs and events whose time is over."""
    operation_logs_prune(now=clock.now())
