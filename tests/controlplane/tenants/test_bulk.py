"""Requests for several tenants are forgotten after the retention of logs; what they queued stays."""

from datetime import timedelta
from typing import Any

import pytest

from controlplane.core import clock
from controlplane.core.models import AuditEvent
from controlplane.operations.models import Operation
from controlplane.tenants import bulk
from controlplane.tenants.bulk import bulk_begin, bulk_prune, bulk_run
from controlplane.tenants.models import BulkOutcome, BulkRequest, Tenant
from tests.support.people import Person


def test_requests_are_forgotten_after_the_retention_and_nothing_else(
    owner: Person, active: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.operations.doorbell.doorbell_ring", lambda: None)
    monkeypatch.setattr(bulk, "BATCH", 1)
    settings.FREEHOLD_LOG_RETENTION_DAYS = 7
    now = clock.now()
    made = [
        bulk_begin(
            principal=owner.principal, key=f"days-{days}", verb="refresh", tenants=[active], wanted={},
            now=now - timedelta(days=days),
        )
        for days in (9, 8, 6)
    ]  # fmt: skip
    bulk_run(principal=owner.principal, bulk=made[0], now=now)
    before = (Operation.objects.count(), AuditEvent.objects.count(), Tenant.objects.count())

    assert bulk_prune(now=now) == 2

    assert [kept.pk for kept in BulkRequest.objects.all()] == [made[2].pk]
    assert [row.bulk_id for row in BulkOutcome.objects.all()] == [made[2].pk]
    assert (Operation.objects.count(), AuditEvent.objects.count(), Tenant.objects.count()) == before
    assert bulk_prune(now=now) == 0
