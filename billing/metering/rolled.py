"""Measures what events add up to: from rollups where these know whole buckets, else from the raw events. Reads only.

Asks that differ in nothing but their meter are one part of a statement (statement.py), and raw events are read once
for all asks.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from billing.metering.arrays import array_plain
from billing.metering.catalogue import USER
from billing.metering.facts import HOUR_S, QUARTER_S, Rows, facts_of, rows_of, series_by_user
from billing.metering.raw import EffectiveEvent, EffectiveReading, events_placed, hours_of, touched_times
from billing.metering.segments import Plan, bucket_of, plan_of
from billing.metering.statement import Part, Row, starts_array, tenants_array
from billing.metering.tally import Tally
from billing.metering.windows import Window

#: The event type (where it tells which buckets were touched), the windows, the length of a bucket.
_PlanKey = tuple[str, tuple[Window, ...], int]


@dataclass(frozen=True)
class Planned:
    """A tally of events, the series of rollups it is read from, and which stretches raw events answer."""

    tally: Tally
    series: str
    plan: Plan

    @property
    def event_type(self) -> str:
        return str(self.tally.meter.event_type)


def planned(tenant_ids: Sequence[UUID], tallies: Sequence[Tally], known_at: datetime | None) -> list[Planned]:
    plans: dict[_PlanKey, Plan] = {}
    found = []
    for tally in tallies:
        detailed = USER in tally.names and tally.meter.by_user
        grain_s = HOUR_S if detailed or tally.meter.aggregation == "unique" else QUARTER_S
        event_type = "" if known_at is None else str(tally.meter.event_type)
        key = (event_type, tally.windows, grain_s)
        if key not in plans:
            plans[key] = _plan(tenant_ids, event_type, tally.windows, known_at, grain_s)
        series = series_by_user(tally.meter) if detailed else tally.meter.key
        found.append(Planned(tally, series, plans[key]))
    return found


def _plan(
    tenant_ids: Sequence[UUID],
    event_type: str,
    windows: Sequence[Window],
    known_at: datetime | None,
    grain_s: int,
) -> Plan:
    touched: set[datetime] = set()
    if known_at is not None:
        margin = timedelta(seconds=grain_s)
        times = touched_times(
            tenant_ids=tenant_ids,
            event_type=event_type,
            start=windows[0].start - margin,
            end=windows[-1].end + margin,
            known_at=known_at,
        )
        touched = {bucket_of(time, grain_s) for time in times}
    return plan_of(windows, grain_s, touched)


def stored_parts(tenant_ids: Sequence[UUID], asked: Sequence[Planned]) -> list[Part]:
    """What is kept of whole buckets, of all that is asked."""
    together: dict[tuple[Any, ...], dict[str, list[Tally]]] = defaultdict(lambda: defaultdict(list))
    for each in asked:
        excluded = tuple(each.plan.excluded)
        key = (each.tally.windows, excluded, *_kind(each))
        together[key][each.series].append(each.tally)
    return [
        _members_part(tenant_ids, windows, excluded, tallies)
        if how == "unique"
        else _rollups_part(tenant_ids, windows, excluded, how == "max", names, tallies)
        for (windows, excluded, how, names), tallies in together.items()
    ]


def _kind(each: Planned) -> tuple[str, tuple[str, ...] | None]:
    """How rows add up, and which of their dimensions to pick; None: all, which need no picking."""
    tally = each.tally
    if tally.meter.aggregation == "unique":
        return "unique", None
    all_of = tally.meter.dimensions if each.series == tally.meter.key else tally.meter.groupable
    names = None if set(tally.names) == set(all_of) else tally.names
    return ("max" if tally.meter.aggregation == "max" else "sum"), names


def _rollups_part(
    tenant_ids: Sequence[UUID],
    windows: Sequence[Window],
    excluded: Sequence[datetime],
    highest: bool,
    names: tuple[str, ...] | None,
    tallies: dict[str, list[Tally]],
) -> Part:
    pairs = ", ".join(
        f"%(name_{number})s::text, dimensions->%(name_{number})s::text"
        for number, _ in enumerate(names or ())
    )
    shown = "dimensions" if names is None else f"jsonb_build_object({pairs})"

    def take(row: Row) -> None:
        tenant_id, index, series, dimensions, _, value, _ = row
        for tally in tallies[series]:
            tally.count(tenant_id, index, dimensions, value or Decimal(0))

    return Part(
        f"""
        SELECT tenant_id, width_bucket(bucket, %(starts)s::timestamptz[]) - 1, meter, {shown}::text, NULL::text,
               {"max" if highest else "sum"}(value)
        FROM billing_usagerollup
        WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND meter = ANY(%(series)s)
          AND bucket >= %(start)s AND bucket < %(end)s
          AND bucket <> ALL(%(excluded)s::timestamptz[]) AND value <> 0
        GROUP BY 1, 2, 3, 4
        """,  # noqa: S608 - only placeholders and names of functions are put in
        {
            **_stretch(tenant_ids, windows, excluded),
            "series": list(tallies),
            **{f"name_{number}": name for number, name in enumerate(names or ())},
        },
        take,
    )


def _members_part(
    tenant_ids: Sequence[UUID],
    windows: Sequence[Window],
    excluded: Sequence[datetime],
    tallies: dict[str, list[Tally]],
) -> Part:
    """Each value once a window, however often and in however many buckets it is there."""

    def take(row: Row) -> None:
        tenant_id, index, series, dimensions, member, _, _ = row
        for tally in tallies[series]:
            tally.see(tenant_id, index, dimensions, member or "")

    return Part(
        """
        SELECT DISTINCT tenant_id, width_bucket(bucket, %(starts)s::timestamptz[]) - 1, meter, dimensions, member,
               NULL::numeric
        FROM billing_usagemember
        WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND meter = ANY(%(series)s)
          AND bucket >= %(start)s AND bucket < %(end)s AND bucket <> ALL(%(excluded)s::timestamptz[])
        """,
        {**_stretch(tenant_ids, windows, excluded), "series": list(tallies)},
        take,
    )


def _stretch(
    tenant_ids: Sequence[UUID], windows: Sequence[Window], excluded: Sequence[datetime]
) -> dict[str, Any]:
    return {
        "tenants": tenants_array(tenant_ids),
        "starts": starts_array(windows),
        "start": windows[0].start,
        "end": windows[-1].end,
        "excluded": array_plain(bucket.isoformat() for bucket in excluded),
    }


class RawCount:
    """Adds what the raw events say of the stretches that rollups do not answer, once its parts have run."""

    def __init__(
        self, tenant_ids: Sequence[UUID], asked: Sequence[Planned], known_at: datetime | None
    ) -> None:
        self._cut = [each for each in asked if each.plan.parts]
        types = sorted({each.event_type for each in self._cut})
        hours = {hour for each in self._cut for hour in hours_of(each.plan.parts)}
        self._reading = EffectiveReading(tenant_ids, types, hours, known_at)
        self.parts = self._reading.parts

    def count(self) -> None:
        found = self._reading.events()
        summed: dict[tuple[str, int], dict[tuple[UUID, int], Rows]] = {}
        for each in self._cut:
            # Plans are shared by the asks that have the same one.
            key = (each.event_type, id(each.plan))
            if key not in summed:
                summed[key] = _rows_by_place(found, each)
            for (tenant_id, index), rows in summed[key].items():
                _count(each, tenant_id, index, rows)


def _rows_by_place(found: Sequence[EffectiveEvent], asked: Planned) -> dict[tuple[UUID, int], Rows]:
    events = defaultdict(list)
    for raw in events_placed(found, asked.event_type, asked.plan.parts):
        events[raw.tenant_id, raw.index].append(raw.event)
    return {place: rows_of(facts_of(own)) for place, own in events.items()}


def _count(asked: Planned, tenant_id: UUID, index: int, rows: Rows) -> None:
    if asked.tally.meter.aggregation == "unique":
        for series, _, dimensions, member in rows.members:
            if series == asked.series:
                asked.tally.see(tenant_id, index, dimensions, member)
        return
    for (series, _, dimensions), number in {**rows.sums, **rows.highest}.items():
        if series == asked.series:
            asked.tally.count(tenant_id, index, dimensions, Decimal(number))
