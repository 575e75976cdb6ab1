"""Each event counts once: whatever comes twice, late, at the same time or broken."""

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from billing.metering.catalogue import METERS
from billing.metering.chunks import chunk_unpack
from billing.metering.models import UsageEventChunk, UsageEventKey, UsageRollup
from billing.metering.partitions import partitions_ensure
from billing.metering.selectors import usage_totals
from billing.metering.services import usage_ingest
from contracts.usage import MODEL_USAGE, RUN_USAGE, STORAGE_USAGE, TOOL_USAGE

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
COUNTED = (*TOKENS, "tool_calls", "agent_runs")
Make = Callable[..., dict[str, Any]]


def _events_stored() -> int:
    return sum(UsageEventChunk.objects.values_list("events", flat=True))


def _totals(tenant: Any) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for total in usage_totals(tenant_id=tenant.id, start=NOVEMBER, end=DECEMBER, as_of=NOW):
        if total.meter in COUNTED:
            sums[total.meter] += Fraction(total.value)
    return dict(sums)


def test_tokens_calls_and_runs_are_counted(tenant: Any, ingest: Any, event: Make) -> None:
    answer = ingest(
        event("1", input_tokens=10, cached_input_tokens="4", output_tokens="25.0"),
        event("2", type=TOOL_USAGE, cached=False),
        event("3", type=RUN_USAGE),
        event("4", type=RUN_USAGE, outcome="error"),
    )
    assert (answer.accepted, answer.duplicate, answer.conflict, answer.rejected) == (4, 0, 0, 0)
    assert [result.id for result in answer.results] == ["1", "2", "3", "4"]
    assert _totals(tenant) == {
        "input_tokens": 10,
        "cached_input_tokens": 4,
        "output_tokens": 25,
        "tool_calls": 1,
        "agent_runs": 2,
    }


def test_the_same_event_again_is_a_duplicate_and_another_body_a_conflict(
    tenant: Any, ingest: Any, event: Make
) -> None:
    original, other = event("1", input_tokens=10), event("1", input_tokens=11)
    assert ingest(original).results[0].outcome == "accepted"
    reordered = dict(reversed(original.items()))
    assert ingest(reordered, received_at=NOW + timedelta(days=400)).results[0].outcome == "duplicate"
    assert ingest(other).results[0].outcome == "conflict"
    assert _totals(tenant) == {"input_tokens": 10}


def test_inside_one_batch_the_first_body_stands(tenant: Any, ingest: Any, event: Make) -> None:
    answer = ingest(
        event("1", input_tokens=1),
        event("1", input_tokens=2),
        event("1", input_tokens=1),
        event("2", input_tokens=5),
    )
    assert [result.outcome for result in answer.results] == ["accepted", "conflict", "duplicate", "accepted"]
    assert _totals(tenant) == {"input_tokens": 6}


def test_ids_belong_to_their_source_and_tenant(tenant: Any, ingest: Any, event: Make) -> None:
    other_replica = {**event("1", input_tokens=2), "source": "/tenants/acme/runtime/1"}
    assert ingest(event("1", input_tokens=1), other_replica).accepted == 2
    answer = usage_ingest(
        tenant_id=uuid4(), subject="acme", events=[event("1", input_tokens=7)], received_at=NOW
    )
    assert answer.accepted == 1
    assert _totals(tenant) == {"input_tokens": 3}


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no object": (lambda e: "text", "JSON object"),
    "none": (lambda e: None, "JSON object"),
    "no id": (lambda e: {k: v for k, v in e.items() if k != "id"}, "id"),
    "empty id": (lambda e: {**e, "id": ""}, "id"),
    "long id": (lambda e: {**e, "id": "x" * 256}, "id"),
    "unknown type": (lambda e: {**e, "type": "other.v1"}, MODEL_USAGE),
    "other subject": (lambda e: {**e, "subject": "globex"}, "subject"),
    "other source": (lambda e: {**e, "source": "/tenants/globex/runtime/0"}, "source"),
    "similar source": (lambda e: {**e, "source": "/tenants/acme-2/runtime/0"}, "source"),
    "future": (lambda e: {**e, "time": (NOW + timedelta(minutes=5, seconds=1)).isoformat()}, "future"),
    "no offset": (lambda e: {**e, "time": "2026-11-01T00:00:00"}, "time"),
    "number as time": (lambda e: {**e, "time": 1700000000}, "time"),
    "before the calendar": (lambda e: {**e, "time": "0001-01-01T00:00:00+14:00"}, "stored"),
    "float": (lambda e: _with(e, input_tokens=1.5), "input_tokens"),
    "part of a token": (lambda e: _with(e, input_tokens="1.5"), "whole number"),
    "negative": (lambda e: _with(e, input_tokens=-1), "data.input_tokens"),
    "not finite": (lambda e: _with(e, input_tokens="NaN"), "data.input_tokens"),
    "infinite extra": (lambda e: _with(e, extra=float("inf")), "stored"),
    "too many digits": (lambda e: _with(e, input_tokens="9" * 31), "data.input_tokens"),
    "no model": (lambda e: _with(e, model=None), "data.model"),
    "NUL": (lambda e: _with(e, model="a\0b"), "U+0000"),
    "half a surrogate": (lambda e: _with(e, model="\ud800"), ""),
    "bottomless": (lambda e: _with(e, extra=_nested(100_000)), ""),
    "not JSON": (lambda e: _with(e, extra={1, 2}), "stored"),
}


def _with(event: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {**event, "data": {**event["data"], **data}}


def _nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_event_is_rejected_alone(tenant: Any, ingest: Any, event: Make, case: str) -> None:
    break_it, reason = BROKEN[case]
    answer = ingest(
        event("a", input_tokens=1), break_it(event("b", input_tokens=1)), event("c", input_tokens=1)
    )
    assert [result.outcome for result in answer.results] == ["accepted", "rejected", "accepted"]
    assert reason in (answer.results[1].reason or "")
    assert _totals(tenant) == {"input_tokens": 2}
    assert ingest(event("b", input_tokens=1)).accepted == 1, "what was rejected has not used up its id"


def test_what_looks_like_an_escaped_nul_is_plain_text(ingest: Any, event: Make) -> None:
    assert ingest(event("1", model=r"a\u0000b", input_tokens=1)).accepted == 1


def test_the_longest_names_fit_every_index(ingest: Any, event: Make) -> None:
    wide = "\U0001f600"
    long = {**event("1"), "id": wide * 255, "source": "/tenants/acme/" + wide * 241}
    names = {
        "agent": wide * 200,
        "model": wide * 200,
        "tool": wide * 200,
        "component": wide * 200,
        "user": wide * 200,
        "bytes": 1,
    }
    batch = [
        {**_with(long, **names, input_tokens=1), "type": kind, "id": f"{index}" + wide * 254}
        for index, kind in enumerate((MODEL_USAGE, TOOL_USAGE, RUN_USAGE, STORAGE_USAGE))
    ]
    assert ingest(*batch).accepted == 4


def test_old_events_count_in_the_month_they_happened(tenant: Any, ingest: Any, event: Make) -> None:
    late = event("1", time=NOVEMBER + timedelta(seconds=1), input_tokens=3)
    assert ingest(late, received_at=datetime(2029, 6, 1, tzinfo=UTC)).accepted == 1
    ancient = event("2", time=datetime(1971, 1, 1, tzinfo=UTC), input_tokens=3)
    assert ingest(ancient).accepted == 1
    assert _totals(tenant) == {"input_tokens": 3}


def test_an_empty_batch_is_answered(ingest: Any) -> None:
    assert ingest().results == []


def test_large_counts_lose_no_digit(tenant: Any, ingest: Any, event: Make) -> None:
    ingest(*[event(str(index), input_tokens="999999999999999999") for index in range(9)])
    assert _totals(tenant)["input_tokens"] == Fraction("8999999999999999991")


def test_raw_events_lie_in_the_partition_of_their_receipt(tenant: Any, ingest: Any, event: Make) -> None:
    ingest(event("1", input_tokens=1), received_at=datetime(2031, 2, 28, 23, 59, 59, tzinfo=UTC))
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableoid::regclass::text, events, body FROM billing_usageeventchunk")
        ((partition, events, body),) = cursor.fetchall()
    assert (partition, events) == ("billing_usageeventchunk_y2031m02", 1)
    assert json.loads(chunk_unpack(body))[0]["data"]["input_tokens"] == 1


@pytest.mark.django_db
def test_partitions_are_made_ahead_once() -> None:
    at = datetime(2032, 11, 30, tzinfo=UTC)
    names = [f"billing_usageeventchunk_y{suffix}" for suffix in ("2032m11", "2032m12", "2033m01")]
    assert partitions_ensure(at=at, ahead=2) == names
    assert partitions_ensure(at=at, ahead=2) == []


def _random_bodies(rng: random.Random, event: Make) -> list[dict[str, Any]]:
    """Events of which every fourth id has a second, different body."""
    bodies = []
    for number in range(120):
        kind = rng.choice([MODEL_USAGE, MODEL_USAGE, TOOL_USAGE, RUN_USAGE])
        data: dict[str, Any] = {name: rng.choice("ab") for name in ("agent", "model", "tool")}
        if kind == MODEL_USAGE:
            data |= {key: rng.choice([rng.randrange(1000), f"{rng.randrange(1000)}.0"]) for key in TOKENS}
        time = NOVEMBER - timedelta(days=1) + timedelta(seconds=rng.randrange(21 * 86400))
        bodies.append(event(str(number % 90), time=time, type=kind, **data))
    return bodies


@pytest.mark.parametrize("seed", range(5))
def test_totals_equal_an_independent_model(tenant: Any, ingest: Any, event: Make, seed: int) -> None:
    """Shuffled, repeated and conflicting events in batches of any size, against a plain dictionary."""
    rng = random.Random(seed)  # noqa: S311
    bodies = _random_bodies(rng, event)
    stream = bodies + rng.choices(bodies, k=200)
    rng.shuffle(stream)
    kept: dict[str, dict[str, Any]] = {}
    expected, answered = [], []
    for sent in stream:
        expected.append(
            "accepted" if sent["id"] not in kept else "duplicate" if kept[sent["id"]] == sent else "conflict"
        )
        kept.setdefault(sent["id"], sent)
    while stream:
        size = rng.randrange(1, 60)
        batch, stream = stream[:size], stream[size:]
        answered += [result.outcome for result in ingest(*batch).results]
    assert answered == expected
    assert _totals(tenant) == _modelled(kept.values())
    assert _events_stored() == UsageEventKey.objects.count() == len(kept)


def _modelled(events: Iterable[dict[str, Any]]) -> dict[str, Fraction]:
    sums: dict[str, Fraction] = defaultdict(Fraction)
    for event in events:
        if not NOVEMBER <= datetime.fromisoformat(event["time"]) < DECEMBER:
            continue
        if event["type"] == MODEL_USAGE:
            for key in TOKENS:
                sums[key] += Fraction(event["data"][key])
        else:
            sums["tool_calls" if event["type"] == TOOL_USAGE else "agent_runs"] += 1
    return dict(sums)


def _in_parallel(calls: list[Callable[[], Any]]) -> list[Any]:
    """Starts all calls at one moment, each with a connection of its own."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            barrier.wait()
            results[index] = calls[index]()
        except Exception as error:
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results


@pytest.mark.django_db(transaction=True)
def test_parallel_batches_count_once_and_do_not_deadlock(tenant: Any, event: Make) -> None:
    """Six senders, the same events in different orders, into a month that has no partition yet."""
    received_at = datetime(2033, 7, 1, tzinfo=UTC)
    batches = []
    for seed in range(6):
        batch = [
            event(
                str(number),
                time=NOVEMBER + timedelta(minutes=number),
                model=f"m{number % 7}",
                input_tokens=number,
            )
            for number in range(300)
        ]
        random.Random(seed).shuffle(batch)  # noqa: S311
        batches.append(batch)

    def sender(batch: list[dict[str, Any]]) -> Callable[[], Any]:
        return lambda: usage_ingest(
            tenant_id=tenant.id, subject="acme", events=batch, received_at=received_at
        )

    answers = _in_parallel([sender(batch) for batch in batches])
    assert [answer for answer in answers if isinstance(answer, Exception)] == []
    assert sum(answer.accepted for answer in answers) == 300
    assert sum(answer.duplicate for answer in answers) == 5 * 300
    assert _totals(tenant) == {"input_tokens": sum(range(300))}


@pytest.mark.django_db(transaction=True)
def test_a_failure_between_the_id_and_the_rollup_leaves_neither(
    tenant: Any, event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*args: object) -> None:
        raise RuntimeError("killed here")

    batch = [event("1", input_tokens=5)]
    with monkeypatch.context() as patch:
        patch.setattr("billing.metering.services.rollups_add", crash)
        with pytest.raises(RuntimeError):
            usage_ingest(tenant_id=tenant.id, subject="acme", events=batch, received_at=NOW)
    assert not UsageEventKey.objects.exists()
    assert not UsageRollup.objects.exists()
    assert usage_ingest(tenant_id=tenant.id, subject="acme", events=batch, received_at=NOW).accepted == 1
    assert _totals(tenant) == {"input_tokens": 5}


def test_every_meter_has_a_unit_and_a_dimension() -> None:
    assert all(meter.unit and meter.description and meter.dimensions for meter in METERS.values())


def test_whatever_way_the_ids_are_claimed_each_counts_once(tenant: Any, ingest: Any, event: Make) -> None:
    """New from end to end, all known, known at the beginning, known only in the middle: two ways to claim them."""
    first, second, third, fourth = (event(f"way-{number}", input_tokens=1) for number in range(4))
    assert ingest(second).accepted == 1
    found = ingest(first, second, third)
    assert [result.outcome for result in found.results] == ["accepted", "duplicate", "accepted"]
    assert ingest(first, second, third).duplicate == 3
    found = ingest(first, event("way-1", input_tokens=2), fourth)
    assert [result.outcome for result in found.results] == ["duplicate", "conflict", "accepted"]
    assert _events_stored() == UsageEventKey.objects.count() == 4


def test_names_that_mean_something_to_copy_are_stored_as_they_are(
    tenant: Any, ingest: Any, event: Make
) -> None:
    names = ["a\\b", "tab\tin", "line\nfeed", "carriage\rreturn", "\\N", "\\.", "quote\"'", "ü"]
    assert ingest(*[event(name, input_tokens=1) for name in names]).accepted == len(names)
    assert set(UsageEventKey.objects.values_list("event_id", flat=True)) == set(names)
    assert _events_stored() == len(names)
    assert ingest(*[event(name, input_tokens=1) for name in names]).duplicate == len(names)
