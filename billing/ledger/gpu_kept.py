"""GPU hours by tenant and month, kept: a fleet's margin cannot read every run of every tenant when somebody looks."""

import time
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection

from billing.metering.gpu_time import TENANTS_AT_ONCE, gpu_times
from billing.period import Period, month_start, next_month

#: What is told of runs later than this after the month's end changes its idle hours no more.
STILL_CHANGING: Final = timedelta(days=31)
#: So that a pass over a large fleet leaves the worker to others; the next one goes on with the oldest.
LONGEST_PASS_S: Final = 600.0

_DUE = """
WITH held AS (
    SELECT DISTINCT n.tenant_id, month
    FROM billing_spanslot n
    JOIN billing_resourcespan s ON s.span_slot_id = n.id,
    LATERAL generate_series(
        date_trunc('month', lower(s.span), 'UTC'),
        least(upper(s.span) - interval '1 microsecond', %(now)s),
        interval '1 month'
    ) AS month
    WHERE n.meter = 'gpu_hours' AND NOT isempty(s.span)
)
SELECT held.month, held.tenant_id
FROM held LEFT JOIN billing_monthgpu kept ON (kept.month, kept.tenant_id) = (held.month, held.tenant_id)
WHERE kept.as_of IS NULL OR (kept.as_of < %(now)s AND held.month >= %(changing)s)
ORDER BY kept.as_of NULLS FIRST, held.month DESC, held.tenant_id
"""
_KEEP = """
INSERT INTO billing_monthgpu AS kept (month, tenant_id, paid, busy, as_of)
SELECT %s, tenant_id, paid, busy, %s FROM unnest(%s::uuid[], %s::numeric[], %s::numeric[]) AS t (tenant_id, paid, busy)
ORDER BY tenant_id
ON CONFLICT (month, tenant_id) DO UPDATE SET paid = EXCLUDED.paid, busy = EXCLUDED.busy, as_of = EXCLUDED.as_of
WHERE kept.as_of < EXCLUDED.as_of
"""


def gpu_months_keep(*, now: datetime, longest_s: float = LONGEST_PASS_S) -> int:
    """Brings every tenant's GPU hours of months that still change to `now`, those known longest ago first, and adds
    months that were never kept. How many tenants' months it read; again at the same moment it reads none."""
    until = time.monotonic() + longest_s
    changing = month_start(now - STILL_CHANGING)
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"now": now, "changing": changing})
        due = cursor.fetchall()
    read = 0
    for month, tenant_ids in _together(due):
        if time.monotonic() > until:
            break
        _keep(month_start(month), tenant_ids, now)
        read += len(tenant_ids)
    return read


def _together(due: list[tuple[datetime, UUID]]) -> list[tuple[datetime, list[UUID]]]:
    """Of one month each, as many as are held in memory at once."""
    found: list[tuple[datetime, list[UUID]]] = []
    for month, tenant_id in due:
        if not found or found[-1][0] != month or len(found[-1][1]) == TENANTS_AT_ONCE:
            found.append((month, []))
        found[-1][1].append(tenant_id)
    return found


def _keep(month: datetime, tenant_ids: list[UUID], now: datetime) -> None:
    period = Period(month, next_month(month))
    times = gpu_times(tenant_ids=tenant_ids, start=period.start, end=period.end, as_of=now)
    paid = [times[each].paid for each in tenant_ids]
    busy = [times[each].busy for each in tenant_ids]
    with connection.cursor() as cursor:
        cursor.execute(_KEEP, [month, now, tenant_ids, paid, busy])
