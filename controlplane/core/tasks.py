"""Celery's part in core: keeping sealed values and data keys under the newest keys, and delivering the outbox."""

import random

from celery import shared_task

from controlplane.core import clock
from controlplane.core.data_keys import data_keys_rewrap
from controlplane.core.outbound.delivery import outbox_deliver
from controlplane.core.renewal import data_keys_retire, sealed_values_renew

BATCH = 500


@shared_task(name="controlplane.core.tasks.encryption_renew_task", expires=600)
def encryption_renew_task() -> int:
    """One batch of each; what is left is for the next hour. How much was sealed anew."""
    done = data_keys_rewrap(limit=BATCH) + sealed_values_renew(limit=BATCH).done
    data_keys_retire(now=clock.now())
    return done


@shared_task(name="controlplane.core.tasks.outbox_deliver_task", expires=30)
def outbox_deliver_task() -> int:
    """Sends what is due; how many messages arrived. Two of these at once share the work: each message is claimed."""
    return outbox_deliver(clock_now=clock.now, roll=random.random)
