"""Closes spans that nobody else will: those of tenants that are gone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, get_args
from uuid import UUID

from billing.metering.models import ResourceSpan
from billing.metering.spans import spans_reconcile
from contracts.stack import Meter

#: In place of an operation, in `closed_by` of what was closed here.
REAPER: Final = UUID("5f1f0b3e-8f60-4a6e-9a53-6b1d7a1f3c02")


def tenants_with_open_spans() -> list[UUID]:
    return list(
        ResourceSpan.objects.filter(span__upper_inf=True)
        .values_list("span_slot__tenant_id", flat=True)
        .distinct()
        .order_by("span_slot__tenant_id")
    )


def spans_reap(*, ended: Mapping[UUID, datetime], at: datetime) -> int:
    """Closes what is open of these tenants, at the moment each was gone; how many spans.

    A deprovision closes its tenant's spans itself. What is left was opened by an operation that lost its way and
    spoke after the end: without this it would be billed for ever. Only tenants of which nothing is left may be named,
    so no span of a living resource is ended, however long nobody has spoken of it.
    """
    closed = 0
    for tenant_id in tenants_with_open_spans():
        moment = ended.get(tenant_id)
        if moment is not None:
            changes = spans_reconcile(
                tenant_id=tenant_id,
                resources=(),
                at=at,
                operation_id=REAPER,
                ended=dict.fromkeys(get_args(Meter), moment),
            )
            closed += changes.closed
    return closed
