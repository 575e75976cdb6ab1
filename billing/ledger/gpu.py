"""GPU hours paid for, and of them those in which a run was going. Reads only."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import WIDE, quantity
from billing.metering.raw import EFFECTIVE, known_text
from billing.period import Period
from contracts.usage import RUN_USAGE


@dataclass(frozen=True)
class GpuHours:
    """`paid` is how long GPUs existed, `busy` how much of that lay within some run of the tenant's, `billed` what the
    rate card charged of it (after its allowance)."""

    paid: Decimal
    busy: Decimal
    billed: Decimal

    @property
    def idle(self) -> Decimal:
        return WIDE.subtract(self.paid, self.busy)

    @property
    def idle_share(self) -> Decimal:
        """Of what was paid; zero where nothing was."""
        return WIDE.divide(self.idle, self.paid) if self.paid else Decimal(0)


def gpu_hours(*, tenant_id: UUID, period: Period, as_of: datetime, billed: Decimal) -> GpuHours:
    """Runs are told when they end: one lasts from `time` less its duration until `time`.

    Runs at the same moment count once, and what of them lies outside a GPU's life not at all, so that busy is never
    more than paid. A GPU counts as busy while any run of its tenant is going: which one serves which is not metered.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH runs AS (
                SELECT time, make_interval(secs => (body::jsonb #>> '{{data,duration_ms}}')::float8 / 1000) AS lasted
                FROM ({EFFECTIVE}) AS event
                WHERE (body::jsonb #>> '{{data,duration_ms}}')::numeric > 0
            ), busy AS (
                SELECT coalesce(range_agg(tstzrange(time - lasted, time)), '{{}}'::tstzmultirange) AS ranges
                FROM runs WHERE time - lasted < %(finish)s
            ), paid AS (
                SELECT s.span * tstzrange(%(start)s, greatest(%(start)s, least(%(finish)s, %(until)s))) AS span
                FROM billing_resourcespan s JOIN billing_spanslot n ON n.id = s.span_slot_id
                WHERE n.tenant_id = %(tenant)s AND n.meter = 'gpu_hours'
            )
            SELECT coalesce(sum(extract(epoch FROM upper(p.span) - lower(p.span))), 0),
                   coalesce(sum((
                       SELECT sum(extract(epoch FROM upper(r) - lower(r)))
                       FROM unnest(tstzmultirange(p.span) * b.ranges) AS r
                   )), 0)
            FROM paid p CROSS JOIN busy b WHERE NOT isempty(p.span)
            """,  # noqa: S608 - a constant is put in
            {
                "tenants": [tenant_id],
                "tenant": tenant_id,
                "type": RUN_USAGE,
                "start": period.start,
                "finish": period.end,
                "until": as_of,
                # Runs that had ended by then, also those that went on over the end of the period.
                "end": max(as_of, period.start),
                "known": known_text(None),
            },
        )
        paid, busy = cursor.fetchone() or (Decimal(0), Decimal(0))
    return GpuHours(quantity(paid, 3600), quantity(busy, 3600), billed)
