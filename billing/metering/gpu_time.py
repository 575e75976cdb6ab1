"""How long a tenant's GPUs existed, and how much of that at least one of its runs was executed. Reads only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from billing.exact import quantity
from billing.metering.chunks import hour_of
from billing.metering.facts import HOUR_S, READERS, ValidEvent, seconds_of
from billing.metering.raw import EffectiveReading
from billing.metering.statement import Part, Row, parts_run, tenants_array
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


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HELD: Final = """
    SELECT tenant_id, 0, trunc(extract(epoch FROM lower(held)) * 1000000)::text,
           trunc(extract(epoch FROM upper(held)) * 1000000)::text, NULL::text, NULL::numeric
    FROM (
        SELECT n.tenant_id, s.span * tstzrange(%(start)s, %(end)s) AS held
        FROM billing_spanslot n JOIN billing_resourcespan s ON s.span_slot_id = n.id
        WHERE n.tenant_id = ANY(%(tenants)s::uuid[]) AND n.meter = 'gpu_hours'
          AND s.span && tstzrange(%(start)s, %(end)s)
    ) AS spans WHERE NOT isempty(held)
"""


class _Held:
    """When each GPU of a tenant existed, inside [start, end), as a part of a statement that may read more; tenants
    without any are left out of `found`."""

    def __init__(self, tenant_ids: Sequence[UUID], start: datetime, end: datetime) -> None:
        self.found: dict[UUID, list[Stretch]] = {}
        asked = {"start": start, "end": end, "tenants": tenants_array(tenant_ids)}
        self.part = Part(_HELD, asked, self._take)

    def _take(self, row: Row) -> None:
        self.found.setdefault(row[0], []).append((_moment(row[2]), _moment(row[3])))


def gpu_time(*, tenant_id: UUID, start: datetime, end: datetime, as_of: datetime) -> GpuTime:
    """Of [start, end), as far as it has passed.

    A run lasts from its event's time less its `duration_ms` until its time. Runs at the same moment count once, and
    what of them lies outside a GPU's life not at all. A GPU counts as busy while any run of its tenant is going:
    which one serves which is not metered. One statement, which reads the runs also of a tenant without GPUs:
    gpu_times does not.
    """
    held, runs = _held([tenant_id], start, end, as_of), _runs([tenant_id], start, _until(end, as_of))
    parts_run([held.part, *runs.parts])
    busy = _busy([tenant_id], runs, start, _until(end, as_of))
    return _time(held.found.get(tenant_id, ()), busy[tenant_id])


def gpu_times(
    *, tenant_ids: Sequence[UUID], start: datetime, end: datetime, as_of: datetime
) -> dict[UUID, GpuTime]:
    """Of each tenant. Those without GPUs cost one query together, the others one more for each TENANTS_AT_ONCE."""
    held, until = _held(tenant_ids, start, end, as_of), _until(end, as_of)
    parts_run([held.part])
    found = {tenant_id: GpuTime(Decimal(0), Decimal(0)) for tenant_id in tenant_ids}
    having = list(held.found)
    for first in range(0, len(having), TENANTS_AT_ONCE):
        some = having[first : first + TENANTS_AT_ONCE]
        runs = _runs(some, start, until)
        parts_run(runs.parts)
        busy = _busy(some, runs, start, until)
        found |= {tenant_id: _time(held.found[tenant_id], busy[tenant_id]) for tenant_id in some}
    return found


def _held(tenant_ids: Sequence[UUID], start: datetime, end: datetime, as_of: datetime) -> _Held:
    return _Held(tenant_ids, start, max(start, min(end, as_of)))


def _until(end: datetime, as_of: datetime) -> datetime:
    """A run that was going at the end is told of when it is over."""
    return min(as_of, end + LONGEST_RUN) + _MICROSECOND


def _runs(tenant_ids: Sequence[UUID], start: datetime, until: datetime) -> EffectiveReading:
    count = max(0, seconds_of(until) // HOUR_S - seconds_of(start) // HOUR_S + 1)
    hours = [hour_of(start) + number * timedelta(seconds=HOUR_S) for number in range(count)]
    return EffectiveReading(tenant_ids, [RUN_USAGE], hours, None)


def _busy(
    tenant_ids: Sequence[UUID], runs: EffectiveReading, start: datetime, until: datetime
) -> dict[UUID, list[Stretch]]:
    """When at least one run of each tenant was going."""
    going: dict[UUID, list[Stretch]] = {tenant_id: [] for tenant_id in tenant_ids}
    for each in runs.events():
        if start <= each.event.time < until:
            going[each.tenant_id].append(_executed(each.event))
    return {tenant_id: stretches_join(own) for tenant_id, own in going.items()}


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


def _moment(microseconds: str) -> datetime:
    return _EPOCH + int(microseconds) * _MICROSECOND
