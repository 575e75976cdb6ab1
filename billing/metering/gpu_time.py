"""How long a tenant's GPUs existed, and how much of that at least one of its runs was executed. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import quantity
from billing.metering.facts import READERS, ValidEvent
from billing.metering.raw import effective_events, hours_that_count
from contracts.usage import RUN_USAGE

Stretch = tuple[datetime, datetime]
#: A run is told of when it ends. One that went on for longer than this over the end of a period is not looked for.
LONGEST_RUN = timedelta(days=31)
_DURATION = READERS[RUN_USAGE].figures.index("duration_ms")
_LONGEST_MS = LONGEST_RUN // timedelta(milliseconds=1)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class GpuTime:
    """In hours. Busy is never more than paid."""

    paid: Decimal
    busy: Decimal


def gpu_time(*, tenant_id: UUID, start: datetime, end: datetime, as_of: datetime) -> GpuTime:
    """Of [start, end), as far as it has passed.

    A run lasts from its event's time less its `duration_ms` until its time. Runs at the same moment count once, and
    what of them lies outside a GPU's life not at all. A GPU counts as busy while any run of its tenant is going:
    which one serves which is not metered. Cheap for a tenant without GPUs.
    """
    return gpu_times(tenant_ids=[tenant_id], start=start, end=end, as_of=as_of)[tenant_id]


def gpu_times(
    *, tenant_ids: Sequence[UUID], start: datetime, end: datetime, as_of: datetime
) -> dict[UUID, GpuTime]:
    """Of each tenant. Those without GPUs cost one query together."""
    held = _held(tenant_ids, start, max(start, min(end, as_of)))
    return {
        tenant_id: _time(tenant_id, held[tenant_id], start, end, as_of)
        if tenant_id in held
        else GpuTime(Decimal(0), Decimal(0))
        for tenant_id in tenant_ids
    }


def _time(
    tenant_id: UUID, held: Sequence[Stretch], start: datetime, end: datetime, as_of: datetime
) -> GpuTime:
    until = min(as_of, end + LONGEST_RUN) + _MICROSECOND
    hours = hours_that_count(tenant_id=tenant_id, event_type=RUN_USAGE, start=start, end=until, known_at=None)
    found = effective_events(
        tenant_ids=[tenant_id],
        event_type=RUN_USAGE,
        hours=[hour.start for hour in hours],
        known_at=None,
    )
    busy = stretches_join(_executed(each.event) for each in found if start <= each.event.time < until)
    both = (
        max(timedelta(0), min(last, finish) - max(first, since))
        for since, finish in held
        for first, last in busy
    )
    return GpuTime(_hours(finish - since for since, finish in held), _hours(both))


def _hours(lengths: Iterable[timedelta]) -> Decimal:
    microseconds = sum(length // _MICROSECOND for length in lengths)
    return quantity(Decimal(microseconds).scaleb(-6), 3600)


def stretches_join(stretches: Iterable[Stretch]) -> list[Stretch]:
    """What they cover together, in order and without overlaps."""
    joined: list[Stretch] = []
    for first, last in sorted(stretches):
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _executed(event: ValidEvent) -> Stretch:
    # A longer duration is a broken clock, and one beyond the calendar would be an error.
    milliseconds = min(Decimal(event.numbers[_DURATION]), Decimal(_LONGEST_MS))
    return (event.time - timedelta(microseconds=int(milliseconds * 1000)), event.time)


def _held(tenant_ids: Sequence[UUID], start: datetime, end: datetime) -> dict[UUID, list[Stretch]]:
    """When each GPU of a tenant existed, inside [start, end); tenants without any are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT tenant_id, lower(held), upper(held) FROM (
                SELECT n.tenant_id, s.span * tstzrange(%(start)s, %(end)s) AS held
                FROM billing_spanslot n JOIN billing_resourcespan s ON s.span_slot_id = n.id
                WHERE n.tenant_id = ANY(%(tenants)s) AND n.meter = 'gpu_hours'
                  AND s.span && tstzrange(%(start)s, %(end)s)
            ) AS spans WHERE NOT isempty(held)
            """,
            {"start": start, "end": end, "tenants": list(tenant_ids)},
        )
        found: dict[UUID, list[Stretch]] = {}
        for tenant_id, first, last in cursor.fetchall():
            found.setdefault(tenant_id, []).append((first.astimezone(UTC), last.astimezone(UTC)))
        return found
