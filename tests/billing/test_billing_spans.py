"""Hours come from what existed: no overlap, no gap through repetition, exact to the microsecond."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from billing.metering.explain import events_of
from billing.metering.models import ResourceSpan, SpanSlot
from billing.metering.reaping import REAPER, spans_reap
from billing.metering.selectors import usage_query, usage_totals
from billing.metering.spans import SpanChanges, spans_close_all, spans_reconcile
from contracts.stack import BillableResource
from contracts.usage import STORAGE_USAGE
from controlplane.core.errors import ValidationFailed

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
JANUARY = datetime(2027, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.django_db


def _gpu(slot: int = 0, resource: str = "gpu-0", **dimensions: str) -> BillableResource:
    return BillableResource(meter="gpu_hours", slot=slot, resource=resource, dimensions=dimensions)


@pytest.fixture
def reconcile(tenant: Any) -> Callable[..., SpanChanges]:
    def call(*resources: BillableResource, at: datetime) -> SpanChanges:
        return spans_reconcile(tenant_id=tenant.id, resources=resources, at=at, operation_id=uuid4())

    return call


def _hours(tenant: Any, start: datetime, end: datetime, as_of: datetime) -> dict[str, Decimal]:
    totals = usage_totals(tenant_id=tenant.id, start=start, end=end, as_of=as_of)
    return {total.dimension("resource"): total.value for total in totals}


def test_reconcile_opens_closes_and_repeats_without_effect(tenant: Any, reconcile: Any) -> None:
    both = (_gpu(), _gpu(1, "gpu-1", model="H100"))
    assert reconcile(*both, at=NOVEMBER) == SpanChanges(opened=2, closed=0)
    assert reconcile(*both, at=NOVEMBER + HOUR) == SpanChanges(opened=0, closed=0)
    assert reconcile(both[0], at=NOVEMBER + 3 * HOUR) == SpanChanges(opened=0, closed=1)
    assert reconcile(both[0], at=NOVEMBER + 4 * HOUR) == SpanChanges(opened=0, closed=0)
    as_of = NOVEMBER + 10 * HOUR
    assert _hours(tenant, NOVEMBER, DECEMBER, as_of) == {"gpu-0": 10, "gpu-1": 3}


def test_the_operations_are_recorded(tenant: Any) -> None:
    opened, closed = uuid4(), uuid4()
    spans_reconcile(tenant_id=tenant.id, resources=[_gpu()], at=NOVEMBER, operation_id=opened)
    assert spans_close_all(tenant_id=tenant.id, at=NOVEMBER + HOUR, operation_id=closed) == 1
    assert spans_close_all(tenant_id=tenant.id, at=NOVEMBER + HOUR, operation_id=uuid4()) == 0
    span = ResourceSpan.objects.get()
    assert (span.opened_by, span.closed_by) == (opened, closed)
    assert (span.span.lower, span.span.upper) == (NOVEMBER, NOVEMBER + HOUR)


def test_a_replaced_resource_gets_a_span_of_its_own(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(resource="old"), at=NOVEMBER)
    assert reconcile(_gpu(resource="new"), at=NOVEMBER + HOUR) == SpanChanges(opened=1, closed=1)
    assert _hours(tenant, NOVEMBER, DECEMBER, NOVEMBER + 3 * HOUR) == {"old": 1, "new": 2}


def test_months_share_a_span_at_their_border(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=DECEMBER - timedelta(minutes=90))
    reconcile(at=DECEMBER + timedelta(seconds=1))
    assert _hours(tenant, NOVEMBER, DECEMBER, JANUARY) == {"gpu-0": Decimal("1.5")}
    assert _hours(tenant, DECEMBER, JANUARY, JANUARY) == {"gpu-0": Decimal("0.000277777778")}


def test_an_open_span_runs_to_as_of_and_no_further(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=NOVEMBER)
    assert _hours(tenant, NOVEMBER, DECEMBER, NOVEMBER) == {}
    assert _hours(tenant, NOVEMBER, DECEMBER, NOVEMBER + HOUR / 4) == {"gpu-0": Decimal("0.25")}
    assert _hours(tenant, NOVEMBER, DECEMBER, JANUARY) == {"gpu-0": 720}


def test_time_behind_neither_turns_spans_round_nor_overlaps(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=NOVEMBER + HOUR)
    assert reconcile(at=NOVEMBER) == SpanChanges(opened=0, closed=1)
    assert _hours(tenant, NOVEMBER, DECEMBER, DECEMBER) == {}
    reconcile(_gpu(), at=NOVEMBER + 2 * HOUR)
    reconcile(at=NOVEMBER + 4 * HOUR)
    reconcile(_gpu(), at=NOVEMBER + 3 * HOUR)
    reconcile(at=NOVEMBER + 5 * HOUR)
    assert _hours(tenant, NOVEMBER, DECEMBER, DECEMBER) == {"gpu-0": 3}


def test_one_slot_cannot_be_named_twice(reconcile: Any) -> None:
    with pytest.raises(ValidationFailed, match="taken"):
        reconcile(_gpu(resource="a"), _gpu(resource="b"), at=NOVEMBER)


def test_the_database_refuses_an_overlap(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=NOVEMBER)
    slot = SpanSlot.objects.get()
    later = (NOVEMBER + HOUR, NOVEMBER + 2 * HOUR)
    with pytest.raises(IntegrityError, match="resource_span_no_overlap"), transaction.atomic():
        ResourceSpan.objects.create(span_slot=slot, resource="x", span=later, opened_by=uuid4())
    other = SpanSlot.objects.create(tenant_id=uuid4(), meter="gpu_hours", slot=0)
    ResourceSpan.objects.create(span_slot=other, resource="x", span=later, opened_by=uuid4())


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_open_one_span_each_slot(tenant: Any) -> None:
    both = [_gpu(), _gpu(1, "gpu-1")]
    barrier = threading.Barrier(4)

    def work(number: int) -> SpanChanges:
        try:
            barrier.wait()
            order = both if number % 2 else both[::-1]
            return spans_reconcile(tenant_id=tenant.id, resources=order, at=NOVEMBER, operation_id=uuid4())
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        changes = list(pool.map(work, range(4)))
    assert sorted(change.opened for change in changes) == [0, 0, 0, 2]
    assert ResourceSpan.objects.count() == 2


def test_tenants_do_not_see_each_other(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=NOVEMBER)
    spans_close_all(tenant_id=uuid4(), at=NOVEMBER, operation_id=uuid4())
    assert _hours(tenant, NOVEMBER, DECEMBER, NOVEMBER + HOUR) == {"gpu-0": 1}


def test_hours_by_day_know_the_long_day(tenant: Any, reconcile: Any) -> None:
    reconcile(_gpu(), at=datetime(2026, 10, 20, tzinfo=UTC))
    answer = usage_query(
        tenant_id=tenant.id,
        meter="gpu_hours",
        start=datetime(2026, 10, 24, 22, tzinfo=UTC),
        end=datetime(2026, 10, 26, 23, tzinfo=UTC),
        window="day",
        group_by="resource",
        timezone="Europe/Berlin",
        as_of=JANUARY,
    )
    assert [(row["from"], row["group"], row["value"]) for row in answer["results"]] == [
        ("2026-10-24T22:00:00Z", "gpu-0", "25"),
        ("2026-10-25T23:00:00Z", "gpu-0", "24"),
    ]


def _storage(tenant: Any, start: datetime, end: datetime, as_of: datetime = JANUARY) -> Decimal:
    totals = usage_totals(tenant_id=tenant.id, start=start, end=end, as_of=as_of)
    return sum((total.value for total in totals if total.meter == "storage_gb_months"), Decimal(0))


def test_a_gauge_is_averaged_over_the_month(tenant: Any, ingest: Any, event: Any) -> None:
    """3 GB held for the last third of November's 30 days, then 6 GB for December's 31."""
    samples = [
        event("2", time=DECEMBER, type=STORAGE_USAGE, component="postgres", bytes=6 * 10**9),
        event(
            "1", time=NOVEMBER + timedelta(days=20), type=STORAGE_USAGE, component="postgres", bytes=3 * 10**9
        ),
    ]
    ingest(*samples, received_at=JANUARY)
    assert _storage(tenant, NOVEMBER, DECEMBER) == 1
    assert _storage(tenant, DECEMBER, JANUARY) == 6
    assert _storage(tenant, NOVEMBER, JANUARY) == 7
    assert _storage(tenant, NOVEMBER, DECEMBER, as_of=NOVEMBER + timedelta(days=25)) == Decimal("0.5")


def test_components_add_up_and_a_late_sample_fills_in(tenant: Any, ingest: Any, event: Any) -> None:
    def sample(number: int, day: int, component: str, gigabytes: int) -> dict[str, Any]:
        time = NOVEMBER + timedelta(days=day)
        return event(str(number), time, STORAGE_USAGE, component=component, bytes=gigabytes * 10**9)

    ingest(sample(1, 0, "postgres", 2), sample(2, 0, "vectors", 1), received_at=JANUARY)
    assert _storage(tenant, NOVEMBER, DECEMBER) == 3
    ingest(sample(3, 15, "postgres", 0), received_at=JANUARY)
    assert _storage(tenant, NOVEMBER, DECEMBER) == 2


def test_a_tenant_that_is_gone_stores_nothing(tenant: Any, ingest: Any, event: Any) -> None:
    ingest(event("1", NOVEMBER, STORAGE_USAGE, component="postgres", bytes=3 * 10**9))
    for at in (NOVEMBER + timedelta(days=10), NOVEMBER + timedelta(days=12)):
        spans_close_all(tenant_id=tenant.id, at=at, operation_id=uuid4())
    assert _storage(tenant, NOVEMBER, DECEMBER) == 1
    assert _storage(tenant, DECEMBER, JANUARY) == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM billing_gaugesample")
        assert cursor.fetchone() == (2,)


def test_a_span_follows_the_moments_the_target_saw_not_those_of_the_record(tenant: Any) -> None:
    def call(*resources: BillableResource, at: datetime, **moments: Any) -> None:
        spans_reconcile(tenant_id=tenant.id, resources=resources, at=at, operation_id=uuid4(), **moments)

    seen = _gpu().model_copy(update={"since": NOVEMBER + HOUR})
    call(seen, at=NOVEMBER + 2 * HOUR)
    call(at=NOVEMBER + 9 * HOUR, ended={"gpu_hours": NOVEMBER + 3 * HOUR})
    call(at=NOVEMBER + 10 * HOUR, ended={"gpu_hours": NOVEMBER + 4 * HOUR})
    span = ResourceSpan.objects.get()
    assert (span.span.lower, span.span.upper) == (NOVEMBER + HOUR, NOVEMBER + 3 * HOUR)
    # A moment behind the last end, or one that is yet to come, cannot make spans overlap or reach ahead.
    call(seen, at=NOVEMBER + 11 * HOUR)
    call(at=NOVEMBER + 12 * HOUR, ended={"gpu_hours": NOVEMBER + 20 * HOUR})
    last = ResourceSpan.objects.order_by("id").last()
    assert last is not None
    assert (last.span.lower, last.span.upper) == (NOVEMBER + 3 * HOUR, NOVEMBER + 12 * HOUR)


def test_an_hour_without_collector_and_control_plane_costs_and_gives_nothing(tenant: Any) -> None:
    """Two tenants with the same GPUs. Of one, nobody hears for an hour in which one GPU goes and another comes; what
    the target saw is told afterwards. Hours billed are those of the one that was watched all the time."""
    watched, unheard = tenant.id, uuid4()
    hour, at = timedelta(hours=1), NOVEMBER

    def tell(tenant_id: Any, *resources: BillableResource, at: datetime, **moments: Any) -> None:
        spans_reconcile(tenant_id=tenant_id, resources=resources, at=at, operation_id=uuid4(), **moments)

    gone, begun = at + 2 * hour + timedelta(minutes=20), at + 2 * hour + timedelta(minutes=40)
    new = _gpu(1, "new")
    for tenant_id in (watched, unheard):
        tell(tenant_id, _gpu(0, "old"), at=at)
    tell(watched, at=gone)
    tell(watched, new, at=begun)
    # Down from the second hour to the third; the first thing that runs afterwards finds what exists.
    tell(unheard, new.model_copy(update={"since": begun}), at=at + 3 * hour, ended={"gpu_hours": gone})
    for end in (at + 3 * hour, at + 5 * hour):
        told = [
            [(total.dimension("resource"), total.value) for total in usage_totals(
                tenant_id=tenant_id, start=at, end=end, as_of=end
            )]
            for tenant_id in (watched, unheard)
        ]  # fmt: skip
        assert told[0] == told[1]
    # And where nothing happened in that hour, there is nothing to tell at all.
    quiet = uuid4()
    tell(quiet, _gpu(), at=at)
    totals = usage_totals(tenant_id=quiet, start=at, end=at + 3 * hour, as_of=at + 3 * hour)
    assert [total.value for total in totals] == [3]


def test_the_reaper_ends_what_a_tenant_that_is_gone_left_open_and_nothing_else(tenant: Any) -> None:
    gone, living = tenant.id, uuid4()
    for tenant_id in (gone, living):
        spans_reconcile(tenant_id=tenant_id, resources=[_gpu()], at=NOVEMBER, operation_id=uuid4())
    ended = {gone: NOVEMBER + 2 * HOUR, uuid4(): NOVEMBER}
    assert spans_reap(ended=ended, at=NOVEMBER + 9 * HOUR) == 1
    assert spans_reap(ended=ended, at=NOVEMBER + 10 * HOUR) == 0
    for tenant_id, hours in ((gone, 2), (living, 12)):
        totals = usage_totals(tenant_id=tenant_id, start=NOVEMBER, end=DECEMBER, as_of=NOVEMBER + 12 * HOUR)
        assert [total.value for total in totals] == [hours]
    assert ResourceSpan.objects.get(closed_by=REAPER).closed_recorded_at == NOVEMBER + 9 * HOUR


def test_a_span_that_was_opened_after_the_end_counts_for_nothing(tenant: Any) -> None:
    spans_reconcile(tenant_id=tenant.id, resources=[_gpu()], at=NOVEMBER + HOUR, operation_id=uuid4())
    assert spans_reap(ended={tenant.id: NOVEMBER}, at=NOVEMBER + 5 * HOUR) == 1
    assert _hours(tenant, NOVEMBER, DECEMBER, DECEMBER) == {}
    assert spans_reap(ended={tenant.id: NOVEMBER}, at=NOVEMBER + 6 * HOUR) == 0


def test_hours_as_known_then_and_the_spans_behind_them(tenant: Any) -> None:
    def call(*resources: BillableResource, at: datetime, **moments: Any) -> None:
        spans_reconcile(tenant_id=tenant.id, resources=resources, at=at, operation_id=uuid4(), **moments)

    call(_gpu(model="H100"), at=NOVEMBER)
    call(at=NOVEMBER + 9 * HOUR, ended={"gpu_hours": NOVEMBER + 3 * HOUR})
    asked: dict[str, Any] = {"tenant_id": tenant.id, "start": NOVEMBER, "end": NOVEMBER + 6 * HOUR}
    for known_at, hours in ((NOVEMBER + 8 * HOUR, 6), (NOVEMBER + 9 * HOUR, 3), (None, 3)):
        totals = usage_totals(**asked, as_of=NOVEMBER + 6 * HOUR, known_at=known_at)
        assert [total.value for total in totals] == [hours]
        for match, found in (({"model": "H100"}, [hours]), ({"model": "A10"}, [])):
            behind = events_of(**asked, meter="gpu_hours", dimensions_match=match, known_at=known_at)
            assert [item.value for item in behind] == found
    assert usage_totals(**asked, as_of=NOVEMBER + HOUR, known_at=NOVEMBER - HOUR) == []
