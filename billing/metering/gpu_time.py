"""How long a tenant's GPUs existed, and how much of that at least one of its runs was executed. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from django.db import connection

from billing.exact import quantity
from billing.metering.chunks import hour_of
from billing.metering.facts import HOUR_S, READERS, ValidEvent, seconds_of
from billing.metering.raw import effective_events
from contracts.usage import RUN_USAGE

Stretch = tuple[datetime, datetime]
#: A run is told of when it ends. One that went on for longer than this over the end of a period is not looked for.
LONGEST_RUN = timedelta(days=31)
#: Of the tenants with GPUs, whose runs are held in memory together.
TENANTS_AT_ONCE = 20
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
    """Of each tenant. Those without GPUs cost one query together, the others one more for each TENANTS_AT_ONCE."""
    held = _held(tenant_ids, start, max(start, min(end, as_of)))
    until = min(as_of, end + LONGEST_RUN) + _MICROSECOND
    found = {tenant_id: GpuTime(Decimal(0), Decimal(0)) for tenant_id in tenant_ids}
    having = list(held)
    for first in range(0, len(having), TENANTS_AT_ONCE):
        some = having[first : first + TENANTS_AT_ONCE]
        busy = _busy(some, start, until)
        found |= {tenant_id: _time(held[tenant_id], busy[tenant_id]) for tenant_id in some}
    return found


def _busy(tenant_ids: Sequence[UUID], start: datetime, until: datetime) -> dict[UUID, list[Stretch]]:
    """When at least one run of each tenant was going."""
    count = max(0, seconds_of(until) // HOUR_S - seconds_of(start) // HOUR_S + 1)
    hours = [hour_of(start) + number * timedelta(seconds=HOUR_S) for number in range(count)]
    runs: dict[UUID, list[Stretch]] = {tenant_id: [] for tenant_id in tenant_ids}
    for each in effective_events(tenant_ids=tenant_ids, event_types=[RUN_USAGE], hours=hours, known_at=None):
        if start <= each.event.time < until:
            runs[each.tenant_id].append(_executed(each.event))
    return {tenant_id: stretches_join(own) for tenant_id, own in runs.items()}


def _time(held: Sequence[Stretch], busy: Sequence[Stretch]) -> GpuTime:
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
