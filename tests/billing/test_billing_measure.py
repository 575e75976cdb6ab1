"""Meters measured together give what each gives alone: any windows, groups, corrections and moments of knowledge."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from billing.metering.catalogue import METERS
from billing.metering.fleet import fleet_month_usage
from billing.metering.measure import measure_all, measure_asks
from billing.metering.spans import spans_reconcile
from billing.metering.tally import Ask
from billing.metering.windows import Window, windows_of, zone_parse
from billing.period import period_of
from contracts.stack import BillableResource
from tests.billing.one_by_one import measure_one
from tests.billing.test_billing_exactness import (
    BEGIN,
    LATEST,
    RECEIVED,
    Correction,
    Event,
    correct,
    corrected_worlds,
    few,
    moments,
    send,
    stretches,
    worlds,
)

pytestmark = pytest.mark.django_db

#: Nothing, or to the night in which clocks of Berlin go back.
SHIFTS = [timedelta(0), datetime(2026, 10, 25, tzinfo=UTC) - BEGIN]
ZONES = ["UTC", "Asia/Kathmandu", "Europe/Berlin"]
lengths = st.tuples(st.integers(-30, 200), st.integers(1, 300))


@st.composite
def asks(draw: st.DrawFn, shift: timedelta) -> list[Ask]:
    """Of any meters, some of them twice, over stretches that cut buckets and over days of zones whose clocks jump."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        meter = METERS[draw(st.sampled_from(sorted(METERS)))]
        start, end = (moment + shift for moment in draw(stretches))
        size = draw(st.sampled_from(["whole", "stretch", "hour", "day"]))
        if size == "whole":
            windows = [Window(datetime(2026, 10, 1, tzinfo=UTC), LATEST)]
        elif size == "stretch":
            windows = [Window(start, end)]
        else:
            zone = zone_parse(draw(st.sampled_from(ZONES)))
            windows = windows_of(start=start - timedelta(hours=20), end=end, size=size, zone=zone)
        groups: list[tuple[str, ...] | None] = [None, (), meter.dimensions[:1], meter.groupable[-1:]]
        found.append(Ask(meter, windows, draw(st.sampled_from(groups))))
    return found


def moved(event: Event, shift: timedelta) -> Event:
    return {**event, "time": (datetime.fromisoformat(event["time"]) + shift).isoformat()}


def existed(tenant_id: UUID, hours: Sequence[tuple[int, int]], shift: timedelta) -> None:
    """A GPU after the other in one slot, each said when it began and ended."""
    at = BEGIN + shift
    for number, (begins, length) in enumerate(hours):
        at = max(at, BEGIN + shift + timedelta(hours=begins))
        gpu = BillableResource(
            meter="gpu_hours",
            slot=0,
            resource=f"gpu-{number}",
            dimensions={"model": "l4" if number % 2 else "h100"},
        )
        for resources in ([gpu], []) if length % 3 else ([gpu],):
            spans_reconcile(tenant_id=tenant_id, resources=resources, at=at, operation_id=uuid4())
            at += timedelta(hours=length, microseconds=length)


@few
@given(corrected_worlds(), worlds(), st.lists(lengths, max_size=3), st.sampled_from(SHIFTS), st.data())
def test_together_is_one_by_one(
    case: tuple[list[Event], list[Correction]],
    late: list[Event],
    hours: list[tuple[int, int]],
    shift: timedelta,
    data: Any,
) -> None:
    (world, corrections), tenant_id = case, uuid4()
    send(tenant_id, [moved(event, shift) for event in world])
    existed(tenant_id, hours, shift)
    for correction in corrections:
        body = None if correction.body is None else moved(correction.body, shift)
        correct(tenant_id, Correction(correction.event_id, body), RECEIVED + timedelta(hours=1))
    renamed = [{**moved(event, shift), "id": f"late-{event['id']}"} for event in late]
    send(tenant_id, renamed, RECEIVED + timedelta(hours=2))
    wanted = data.draw(asks(shift))
    known_at = data.draw(st.sampled_from([None, RECEIVED, RECEIVED + timedelta(hours=1), BEGIN]))
    as_of = data.draw(moments) + shift + timedelta(hours=data.draw(st.sampled_from([0, 50, 200])))

    together = measure_asks(tenant_id=tenant_id, asks=wanted, as_of=as_of, known_at=known_at)

    alone = [measure_one(tenant_id, ask.meter, ask.windows, as_of, known_at, ask.group_by) for ask in wanted]
    assert together == alone


@few
@given(worlds(), worlds(), st.data())
def test_tenants_are_told_apart(mine: list[Event], theirs: list[Event], data: Any) -> None:
    tenants = {uuid4(): mine, uuid4(): theirs, uuid4(): []}
    for tenant_id, world in tenants.items():
        if world:
            send(tenant_id, world)
    wanted = data.draw(asks(timedelta(0)))
    found = measure_all(tenant_ids=list(tenants), asks=wanted, as_of=LATEST)
    for ask, measured in zip(wanted, found, strict=True):
        alone = {
            (tenant_id, index, dimensions): value
            for tenant_id in tenants
            for (index, dimensions), value in measure_one(
                tenant_id, ask.meter, ask.windows, LATEST, None, ask.group_by
            ).items()
        }
        assert measured == alone


@few
@given(worlds(), worlds(), st.lists(lengths, max_size=2))
def test_a_fleets_month_is_that_of_each_tenant_and_day(
    mine: list[Event], theirs: list[Event], hours: list[tuple[int, int]]
) -> None:
    tenants = [uuid4(), uuid4(), uuid4()]
    for tenant_id, world in zip(tenants, (mine, theirs), strict=False):
        send(tenant_id, world)
        existed(tenant_id, hours, timedelta(0))
    month = period_of(BEGIN)
    days = windows_of(start=month.start, end=month.end, size="day", zone=zone_parse("UTC"))
    for meter in METERS.values():
        found = fleet_month_usage(tenant_ids=tenants, meter=meter.key, period=month, as_of=LATEST)
        by_tenant: dict[UUID, Decimal] = {}
        by_day: dict[date, list[Decimal]] = {}
        for tenant_id in tenants:
            whole = measure_one(tenant_id, meter, [Window(month.start, month.end)], LATEST, None, ())
            if whole:
                (by_tenant[tenant_id],) = whole.values()
            for (index, _), value in measure_one(tenant_id, meter, days, LATEST, None, ()).items():
                by_day.setdefault(days[index].start.date(), []).append(value)
        joined = max if meter.aggregation == "max" else sum
        assert found.by_tenant == by_tenant
        assert found.by_day == {day: joined(values) for day, values in by_day.items()}


def test_a_month_of_all_meters_is_one_statement_and_cut_buckets_are_in_it() -> None:
    month = [Window(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))]
    cut = [Window(BEGIN + timedelta(minutes=7), LATEST)]
    wanted = [Ask(meter, windows) for meter in METERS.values() for windows in (month, cut)]
    with CaptureQueriesContext(connection) as queries:
        measure_asks(tenant_id=uuid4(), asks=wanted, as_of=LATEST)
    assert len(queries) == 1
