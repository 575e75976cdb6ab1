"""Raw events in chunks: how they are packed, and that events of an earlier release move into them whole."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from billing.metering.chunks import chunk_pack, chunk_unpack
from billing.metering.decoding import stored_events
from billing.metering.explain import events_of
from billing.metering.models import UsageEventChunk
from contracts.usage import MODEL_USAGE, TOOL_USAGE

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
Make = Callable[..., dict[str, Any]]


def test_a_chunk_holds_what_was_put_in_and_is_much_smaller(event: Make) -> None:
    bodies = [json.dumps(event(str(number), NOW, input_tokens=number)).encode() for number in range(500)]
    packed = chunk_pack(bodies)
    assert json.loads(chunk_unpack(packed)) == [json.loads(body) for body in bodies]
    assert len(packed) * 10 < sum(map(len, bodies))


def test_events_lie_by_type_and_hour(tenant: Any, ingest: Any, event: Make) -> None:
    ingest(
        event("1", NOW, input_tokens=1),
        event("2", NOW - HOUR, input_tokens=1),
        event("3", NOW - timedelta(seconds=1), input_tokens=1),
        event("4", NOW - HOUR, TOOL_USAGE),
    )
    found = UsageEventChunk.objects.values_list("type", "hour", "events").order_by("type", "hour")
    assert list(found) == [
        (MODEL_USAGE, NOW - HOUR, 2), (MODEL_USAGE, NOW, 1), (TOOL_USAGE, NOW - HOUR, 1),
    ]  # fmt: skip


def test_pages_of_an_explanation_follow_each_other_over_hours(tenant: Any, ingest: Any, event: Make) -> None:
    """Across chunks that came in out of order, and with several events at the same moment."""
    times = [NOW - 50 * HOUR + timedelta(minutes=25 * number) for number in range(60)]
    for start in (40, 0, 20):
        numbers = range(start, start + 20)
        ingest(*[event(f"{each}-{n}", times[n], input_tokens=n + 1) for n in numbers for each in "ba"])
    found: list[str] = []
    after = None
    while page := events_of(
        tenant_id=tenant.id, meter="input_tokens", dimensions_match={}, start=times[3], end=times[57], limit=7,
        after=after,
    ):  # fmt: skip
        found += [item.id for item in page]
        after = page[-1].cursor
    assert found == [f"{each}-{n}" for n in range(3, 57) for each in "ab"]


@pytest.mark.django_db
def test_events_of_an_earlier_release_move_into_chunks(event: Make) -> None:
    """The migration's statements and code, on tables as the release before made them, in a schema of their own."""
    first = import_module("billing.migrations.0001_metering")
    moving = import_module("billing.migrations.0008_usage_chunks")
    tenants = [uuid4(), uuid4()]
    received = [datetime(2026, 10, 31, 23, 59, tzinfo=UTC), datetime(2026, 11, 1, 0, 1, tzinfo=UTC)]
    bodies = [event(f"ü-{number}", received[0] - number * HOUR / 3, input_tokens="7") for number in range(9)]
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA earlier; SET LOCAL search_path = earlier")
        cursor.execute(first.RAW_EVENTS)
        for month, start, end in (("10", "2026-10-01", "2026-11-01"), ("11", "2026-11-01", "2026-12-01")):
            cursor.execute(
                f"CREATE TABLE billing_usageevent_y2026m{month} PARTITION OF billing_usageevent "
                f"FOR VALUES FROM ('{start}') TO ('{end}')"
            )
        for tenant_id in tenants:
            for at in received:
                for body in bodies:
                    row = [tenant_id, body["source"], body["id"], at, body["type"], body["time"]]
                    cursor.execute(
                        "INSERT INTO billing_usageevent VALUES (%s, %s, %s, %s, %s, %s, %s)",
                        [*row, json.dumps(body)],
                    )
        cursor.execute(moving.CHUNKS)
        cursor.execute(moving.PARTITIONS)
        moving.pack(None, SimpleNamespace(connection=connection))
        cursor.execute("SELECT tenant_id, hour, received_at, events, body FROM billing_usageeventchunk")
        rows = cursor.fetchall()
        cursor.execute("SELECT count(*) FROM billing_usageeventchunk_y2026m10")
        assert cursor.fetchone() == (len(rows) / 2,)
    for tenant_id in tenants:
        for at in received:
            chunks = [row for row in rows if (row[0], row[2]) == (tenant_id, at)]
            moved = [event for row in chunks for event in json.loads(chunk_unpack(row[4]))]
            assert sorted(moved, key=str) == sorted(bodies, key=str)
            assert all(len(stored_events(chunk_unpack(row[4]))) == row[3] for row in chunks)
            assert {
                event.time.replace(minute=0)
                for row in chunks
                for event in stored_events(chunk_unpack(row[4]))
            } == {row[1] for row in chunks}
