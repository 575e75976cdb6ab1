"""A month of one meter over many tenants: by tenant and by day, added up where it is stored. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import WIDE
from billing.metering.catalogue import Meter, meter_get
from billing.metering.measure import measure_all
from billing.metering.statement import tenants_array
from billing.metering.tally import Ask
from billing.metering.windows import Window, windows_of, zone_parse
from billing.period import Period


@dataclass(frozen=True)
class MonthUsage:
    """Of tenants and days that used something. A maximum is the highest of a day's tenants; distinct values are
    counted per tenant and added."""

    by_tenant: Mapping[UUID, Decimal]
    by_day: Mapping[date, Decimal]


def fleet_month_usage(
    *, tenant_ids: Sequence[UUID], meter: str, period: Period, as_of: datetime
) -> MonthUsage:
    """Of one meter by tenant, and by UTC day over all of them, of one moment."""
    known = meter_get(meter)
    if known.aggregation in ("sum", "count", "max"):
        return _rolled(tenant_ids, known, period)
    days = windows_of(start=period.start, end=period.end, size="day", zone=zone_parse("UTC"))
    asks = [Ask(known, days, ()), Ask(known, (Window(period.start, period.end),), ())]
    daily, whole = measure_all(tenant_ids=tenant_ids, asks=asks, as_of=as_of)
    by_day: dict[date, Decimal] = {}
    for (_, index, _), value in daily.items():
        day = days[index].start.date()
        by_day[day] = WIDE.add(by_day.get(day, Decimal(0)), value)
    return MonthUsage({tenant_id: value for (tenant_id, _, _), value in whole.items()}, by_day)


def _rolled(tenant_ids: Sequence[UUID], meter: Meter, period: Period) -> MonthUsage:
    """What events add up to needs no reading of events: a month and its days are made of whole buckets. Two sums of
    the same rows, since one by tenant and day would be hundreds of thousands of rows for a page of fifty."""
    joined = "max" if meter.aggregation == "max" else "sum"
    rows = """
        FROM billing_usagerollup
        WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND meter = %(meter)s
          AND bucket >= %(start)s AND bucket < %(end)s AND value <> 0
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT tenant_id, NULL::timestamptz, {joined}(value) {rows} GROUP BY tenant_id
            UNION ALL
            SELECT NULL::uuid, date_trunc('day', bucket, 'UTC'), {joined}(value) {rows} GROUP BY 2
            """,
            {
                "tenants": tenants_array(tenant_ids),
                "meter": meter.key,
                "start": period.start,
                "end": period.end,
            },
        )
        found = cursor.fetchall()
    return MonthUsage(
        {tenant_id: value for tenant_id, _, value in found if tenant_id is not None},
        {day.date(): value for _, day, value in sorted(found, key=_day) if day is not None},
    )


def _day(row: tuple[UUID | None, datetime | None, Decimal]) -> float:
    return row[1].timestamp() if row[1] is not None else 0
