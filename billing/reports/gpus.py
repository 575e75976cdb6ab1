"""How long a tenant's GPUs were busy: existed while at least one run was executed. Reads only."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import quantity
from contracts.usage import RUN_USAGE


def gpu_busy_hours(*, tenant_id: UUID, start: datetime, end: datetime) -> Decimal:
    """GPU hours within runs. A run is executed for its `duration_ms` up to its event's time; runs at the same time
    count once, and each GPU by itself. Zero, and cheap, for a tenant without GPUs."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            WITH held AS MATERIALIZED (
                SELECT s.span * tstzrange(%(start)s, %(end)s) AS span
                FROM billing_spanslot n JOIN billing_resourcespan s ON s.span_slot_id = n.id
                WHERE n.tenant_id = %(tenant)s AND n.meter = 'gpu_hours'
                  AND s.span && tstzrange(%(start)s, %(end)s)
            ), busy AS MATERIALIZED (
                SELECT range_agg(tstzrange(
                    time - make_interval(secs => greatest((body->'data'->>'duration_ms')::numeric, 0)::float8 / 1000),
                    time
                )) AS spans
                FROM billing_usageevent
                WHERE EXISTS (SELECT 1 FROM held)
                  AND tenant_id = %(tenant)s AND type = %(type)s AND time >= %(start)s AND time <= %(end)s
                  AND body->'data'->>'duration_ms' ~ '^[0-9]+([.][0-9]+)?$'
            )
            SELECT coalesce(sum(extract(epoch FROM upper(each) - lower(each))), 0)
            FROM held, busy, unnest(tstzmultirange(held.span) * busy.spans) AS each
            """,
            {"start": start, "end": end, "tenant": tenant_id, "type": RUN_USAGE},
        )
        (seconds,) = cursor.fetchone()
    return quantity(Decimal(seconds), 3600)
